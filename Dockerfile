# hw8 in a container, without a GPU or with one; docs/packaging.md has more.
#   docker build -t hw8 .
#   docker build -t hw8:gpu --build-arg VARIANT=gpu .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" hw8 train --data demo
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /opt/hw8

# What changes seldom comes first: a change of the code installs nothing else anew.
COPY requirements.lock ./
ARG VARIANT=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# PyTorch's own index has a build without CUDA, a tenth the size, but not the locked versions of what PyTorch needs.
RUN case "$VARIANT" in \
      cpu) pip install --no-deps --index-url "$TORCH_INDEX" -c requirements.lock torch ;; \
      gpu) pip install -c requirements.lock torch ;; \
      *) echo "VARIANT=$VARIANT: must be cpu or gpu" >&2; exit 2 ;; \
    esac
COPY requirements.txt ./
RUN sed -i '/^-e/d' requirements.txt && pip install -c requirements.lock setuptools -r requirements.txt
RUN pip check
COPY pyproject.toml README.md LICENSE ./
COPY hw8 hw8
RUN pip install --no-deps --no-build-isolation .

# Whoever --user names has no name and no home here, and may write to /tmp, and to /work where nothing is mounted.
RUN install -d -m 1777 /work
ENV HOME=/tmp USER=hw8 MPLBACKEND=Agg MPLCONFIGDIR=/tmp/matplotlib TORCHINDUCTOR_CACHE_DIR=/tmp/inductor
WORKDIR /work
USER 1000:1000
# As Ctrl-C does: training saves its work and says how to go on.
STOPSIGNAL SIGINT
ENTRYPOINT ["hw8"]
CMD ["--help"]
