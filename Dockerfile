# dfer with the packages for training. This file was checked by reading it twice; no image has been built from it yet.
#   docker build -t dfer .                             # with --build-arg TORCH_INDEX=..., a torch for your CUDA version
#   docker run --rm -v "$PWD:/work" -u "$(id -u):$(id -g)" dfer demo          # reads and writes the current folder
# No system package is needed: the wheels bring their libraries, and load besides them only zlib and the C++ runtime.
FROM python:3.12-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM python:3.12-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c /wheels/constraints.txt \
  "$(echo /wheels/*.whl)[train]"
RUN useradd --create-home dfer && install --directory --owner dfer /work
# Model files are cached in the mounted folder: they stay, and any user may write there.
ENV HOME=/tmp DFER_CACHE=/work/.dfer-cache
USER dfer
WORKDIR /work
ENTRYPOINT ["dfer"]
