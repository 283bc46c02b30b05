# jobd and nothing else; an application's image begins with it:
#
#   FROM jobd
#   COPY --chown=jobd requirements.txt .
#   RUN pip install --no-cache-dir -r requirements.txt
#   COPY . .                       # jobd.toml and the handlers, in /app
#
# docker build -t jobd .     docker run --rm -v "$PWD:/app:ro" -e JOBD_REDIS_URL=redis://redis:6379 jobd

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY jobd jobd
ARG EXTRAS=daemon,metrics
RUN python -m venv /opt/jobd && /opt/jobd/bin/pip install --no-cache-dir --no-compile ".[$EXTRAS]"

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/jobd --create-home jobd \
 && install --directory --owner=jobd --group=jobd /run/jobd /app \
 && install --directory --owner=jobd --group=jobd --mode=0750 /var/lib/jobd
COPY --from=build --chown=jobd /opt/jobd /opt/jobd
ENV PATH=/opt/jobd/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    JOBD_CONFIG=/app/jobd.toml \
    JOBD_DAEMON__SOCKET=/run/jobd/control.sock \
    JOBD_DAEMON__STATE_DIR=/var/lib/jobd
WORKDIR /app
USER 10001:10001
# The loop turned in the last 10 s; never asks Redis, so a Redis that is away restarts no container.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["jobd", "health", "--live"]
# As PID 1 it reaps what handlers leave behind. TERM drains: give the container more time than [daemon] grace (25s):
# docker stop --time 40
STOPSIGNAL SIGTERM
ENTRYPOINT ["jobd"]
CMD ["run"]
