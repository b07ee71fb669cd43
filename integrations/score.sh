#!/bin/sh
# Score one radiograph: score.sh FILE            prints the JSON
#                       score.sh FILE KIND OUT   saves one DICOM result: sc, sr, seg or gsps
set -eu
url=${WSCXR_URL:-http://127.0.0.1:8000}
file=$1
if [ $# -eq 1 ]; then
    set -- "$url/v1/predict"
else
    set -- --output "$3" "$url/v1/predict/dicom?only=$2"
fi
if [ -n "${WSCXR_API_KEY:-}" ]; then
    set -- --header "X-API-Key: $WSCXR_API_KEY" "$@"
fi
# The name of the file is not sent: it may be a patient's.
exec curl --fail-with-body --silent --show-error --form "file=@\"$file\";filename=radiograph" "$@"
