#!/bin/sh
# Installs the project into /opt/wscxr while an image is built, and lists what is in it.
set -eu
/opt/tools/bin/uv pip install --python /opt/wscxr/bin/python --compile-bytecode \
    ${TORCH_BACKEND:+--torch-backend "$TORCH_BACKEND"} --constraints constraints.txt "$@"
# Headers are for compiling extensions, which no image of ours does.
rm -rf /opt/wscxr/lib/python3.*/site-packages/torch/include \
    /opt/wscxr/lib/python3.*/site-packages/torch/share
/opt/tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
    --output-file /opt/wscxr/sbom.cdx.json /opt/wscxr/bin/python
