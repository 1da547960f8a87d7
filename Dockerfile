# Everything that a sweep and its analysis need, at the versions of the locks.
#   docker build -t rl-on-incorrect .
#   docker run --rm rl-on-incorrect -m analysis published
#   docker run --rm --gpus all -v "$PWD/outputs:/data/outputs" rl-on-incorrect -m sweep -m experiment=smoke
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
COPY . /opt/rl-on-incorrect
# without pip's cache, which would double the image; whoever runs it is not git's owner of the checkout, and may ask for its commit
RUN PIP_NO_CACHE_DIR=1 make -C /opt/rl-on-incorrect .venv/.run && \
    git config --system --add safe.directory /opt/rl-on-incorrect
ENV PATH=/opt/rl-on-incorrect/.venv/bin:$PATH MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["python"]
CMD ["-m", "sweep", "--help"]
