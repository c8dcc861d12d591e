// Cuts text into pieces within which BPE may merge; a merge never crosses a piece.
//
// The rule, on bytes. Classes: space = one of " \t\n\v\f\r"; digit = 0-9; letter = A-Z, a-z and every byte >= 0x80 (so that UTF-8
// characters stay whole); other = the rest. A piece is
//   1. a run of letters, digits or others, with the one blank (0x20) before it if there is one; or
//   2. a run of spaces, less its last byte if that is a blank which belongs to the run after it by rule 1.
// As an expression, in order of preference (L, D, S the classes, O the others):   ?L+ | ?D+ | ?O+ |S+(?= [^S])|S+
// Every byte of the text is in exactly one piece, so joining the pieces gives the text back, whatever the bytes are.
#pragma once

#include <cstddef>
#include <string_view>

namespace qccl::train {

// Length in bytes of the piece at the beginning of `text`; text must not be empty; the result is at least 1.
std::size_t nextPieceBytes(std::string_view text);

// Calls use(piece) for each piece of `text` in order.
template <typename Use>
void forEachPiece(std::string_view text, Use&& use) {
  while (!text.empty()) {
    const std::size_t length = nextPieceBytes(text);
    use(text.substr(0, length));
    text.remove_prefix(length);
  }
}

// The same rule in the regular-expression dialect of tokenizer.json.
const char* pieceRegex();

}  // namespace qccl::train
