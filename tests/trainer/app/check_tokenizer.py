#!/usr/bin/env python3
"""Prepares text with qccl-train, then lets Hugging Face's tokenizers library encode every document with the tokenizer.json that came out: the ids must be those
of the token files. Ends with 77 (skipped) where that library is not installed.

usage: check_tokenizer.py path/to/qccl-train
"""
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

try:
    from tokenizers import Tokenizer
except ImportError:
    print("skipped: the Python package 'tokenizers' is not installed")
    sys.exit(77)

WORDS = ["the", "The", "training", "loss()", "x1", "1234", "na\u00efve", "\u4f60\u597d", "\U0001f999", "--", "\n", "\n\n    ", "\t", "  ", " ", "\r\n", "don't", "\u00a0",
         "\u3000", "a\x0bb", "\x0c", "...", "\u0663\u0664", "_", "e\u0301"]


def documents(count):
    rng = random.Random(5)
    for _ in range(count):
        yield "".join(rng.choice(WORDS) + rng.choice(["", " ", " ", "  "]) for _ in range(rng.randrange(1, 300)))


def read_tokens(path):
    data = path.read_bytes()
    magic, version, width, count = struct.unpack_from("<8sIIQ", data)
    assert magic == b"QCCLTOK\n" and version == 1 and width == 2, (magic, version, width)
    return struct.unpack_from(f"<{count}H", data, 64)


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "in").mkdir()
        for i, text in enumerate(documents(200)):
            (folder / "in" / f"{i}.txt").write_bytes(text.encode())
        subprocess.run([program, "prepare", "--out", folder / "out", "--vocab", "600", folder / "in"], check=True, stdout=subprocess.DEVNULL)
        tokenizer = Tokenizer.from_file(str(folder / "out" / "tokenizer.json"))
        end = tokenizer.token_to_id("<|endoftext|>")
        checked = 0
        for side in ("train.bin", "val.bin"):
            document = []
            for token in read_tokens(folder / "out" / side):
                if token != end:
                    document.append(token)
                    continue
                text = tokenizer.decode(document)
                encoded = tokenizer.encode(text).ids
                assert encoded == document, f"{text!r}\nexpected {document}\ngot      {encoded}"
                checked += 1
                document = []
        assert checked == 200, checked
        print(f"{checked} documents encoded alike")


main()
