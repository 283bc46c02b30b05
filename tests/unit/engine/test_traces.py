"""Whether anybody traces: known without importing what the application does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

NOBODY = "from jobd.engine.traces import tracer; assert tracer() is None\n"
SETS = (
    "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider\n"
    "trace.set_tracer_provider(TracerProvider())\n"
)


@pytest.mark.parametrize(
    "code",
    [
        f"{NOBODY}import sys; assert not [name for name in sys.modules if name.startswith('opentelemetry')]",
        f"import opentelemetry.trace\n{NOBODY}",
        f"import opentelemetry.trace as t; t.set_tracer_provider(t.NoOpTracerProvider())\n{NOBODY}",
        f"import opentelemetry.trace\n{NOBODY}{SETS}assert tracer() is tracer() is not None",
    ],
    ids=["not imported", "no provider", "switched off", "set later"],
)
def test_a_tracer_is_there_once_the_application_has_set_a_provider(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
