from opentelemetry import trace
from shop import traces

from jobd.client import Queue

traces.setup()
with trace.get_tracer("shop").start_as_current_span("checkout") as span, Queue("payments") as queue:
    print(queue.add("charge", {"amount": 12}).wait(timeout=20))
    print(f"trace {trace.format_trace_id(span.get_span_context().trace_id)}")
traces.teardown()
