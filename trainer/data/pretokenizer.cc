#include "data/pretokenizer.hpp"

#include <array>
#include <cstdint>

namespace qccl::train {

namespace {

enum class Kind : std::uint8_t { space, letter, digit, other };

constexpr std::array<Kind, 256> makeKinds() {
  std::array<Kind, 256> kinds{};
  for (int c = 0; c < 256; ++c) {
    Kind kind = Kind::other;
    if (c == ' ' || (c >= '\t' && c <= '\r')) kind = Kind::space;
    if (c >= '0' && c <= '9') kind = Kind::digit;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80) kind = Kind::letter;
    kinds[static_cast<std::size_t>(c)] = kind;
  }
  return kinds;
}

constexpr std::array<Kind, 256> kKinds = makeKinds();

Kind kindOf(char c) { return kKinds[static_cast<unsigned char>(c)]; }

// The end of the run of bytes of the kind of text[at].
std::size_t runEnd(std::string_view text, std::size_t at) {
  const Kind kind = kindOf(text[at]);
  while (at < text.size() && kindOf(text[at]) == kind) ++at;
  return at;
}

}  // namespace

std::size_t nextPieceBytes(std::string_view text) {
  if (kindOf(text[0]) != Kind::space) return runEnd(text, 0);
  const std::size_t spaces = runEnd(text, 0);
  const bool lastJoinsNext = spaces < text.size() && text[spaces - 1] == ' ';
  if (!lastJoinsNext) return spaces;
  return spaces == 1 ? runEnd(text, 1) : spaces - 1;
}

const char* pieceRegex() {
  return R"( ?[A-Za-z\x{80}-\x{10FFFF}]+| ?[0-9]+| ?[^ \t\n\x0B\f\rA-Za-z0-9\x{80}-\x{10FFFF}]+|[ \t\n\x0B\f\r]+(?= [^ \t\n\x0B\f\r])|[ \t\n\x0B\f\r]+)";
}

}  // namespace qccl::train
