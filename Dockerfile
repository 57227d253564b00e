# The standalone server. What is installed is pinned in deploy/requirements.txt (`make lock`).
# docs/deployment.md says what it takes, and how it is checked.
#
#     docker build -t bindserver .
#     docker run -e SECRET_KEY=… -e ALLOWED_HOSTS=localhost -v bindserver:/data -p 8000:8000 bindserver

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md manage.py ./
COPY bindserver bindserver
COPY bindserver_project bindserver_project
COPY deploy/build.sh deploy/requirements.txt deploy/build-requirements.txt deploy/
RUN ["sh", "deploy/build.sh", "/opt/bindserver"]

FROM python:3.13-slim
# The database, and what collectstatic puts into a volume. Nothing else is written to but /tmp, so the root file
# system may be read only.
RUN ["install", "-d", "-o", "10001", "-g", "10001", "/data", "/static"]
COPY --from=build /opt/bindserver /opt/bindserver
ENV PATH=/opt/bindserver/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATIC_ROOT=/opt/bindserver/static \
    DATABASE_URL=sqlite:////data/bindserver.sqlite3
WORKDIR /opt/bindserver/app
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
ENTRYPOINT ["python", "manage.py"]
CMD ["bindserver", "--host", "0.0.0.0", "--port", "8000"]
