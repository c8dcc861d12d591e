#!/bin/sh
# Makes the golden values anew with the transformers that is installed and compares, then exchanges checkpoints with it in both directions.
# live.sh SOURCE_DIR MODEL_TEST INTEROP. The Python is that of QCCL_TEST_PYTHON (default python3). Code 77: torch or transformers is missing there.
set -eu
source=$1 model_test=$2 interop=$3
python=${QCCL_TEST_PYTHON:-python3}
if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
  echo "skipped: $python has no torch and transformers; set QCCL_TEST_PYTHON to one that has"
  exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/qccl-golden-XXXXXX")
trap 'rm -rf "$work"' EXIT
export HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1

"$python" "$source/scripts/make_golden.py" --out "$work/golden"
QCCL_GOLDEN_DIR="$work/golden" "$model_test" --gtest_filter='*Golden*' --gtest_brief=1

"$interop" write "$work/written"
"$python" "$source/tests/trainer/golden/check_interop.py" "$work/written" "$work"
"$interop" compare "$work/written" "$work/sharded"
"$interop" logits "$work/half"
"$python" "$source/tests/trainer/golden/check_interop.py" --compare "$work/half/logits.safetensors" "$work/reference.safetensors"
echo "the same in both directions"
