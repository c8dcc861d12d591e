// Runs a fuzz target without libFuzzer, the same inputs every time: random ones, ones with few bits set (small lengths and counts), and
// mutations of earlier ones.
//
//   <program> INPUTS     how many
#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

constexpr std::size_t kMaxBytes = 600;
constexpr std::size_t kPool = 32;

const Input* current = nullptr;

// Not a function that a signal handler may call in general, but this one is called by abort() in the middle of nothing.
void showInput(int) {
  std::fprintf(stderr, "the input:");
  for (const std::uint8_t byte : *current) std::fprintf(stderr, " %02x", byte);
  std::fprintf(stderr, "\n");
}

Input fresh(Random& random) {
  Input input(random() % (random() % 4 == 0 ? kMaxBytes : 64));
  const bool sparse = random() % 2 == 0;
  for (std::uint8_t& byte : input) byte = sparse && random() % 4 != 0 ? 0 : static_cast<std::uint8_t>(random());
  return input;
}

Input mutated(Input input, Random& random) {
  for (std::size_t times = 1 + random() % 4; times > 0 && !input.empty(); --times) {
    const std::size_t at = random() % input.size();
    switch (random() % 5) {
      case 0:
        input[at] ^= static_cast<std::uint8_t>(1 << random() % 8);
        break;
      case 1:
        input[at] = random() % 2 == 0 ? 0xff : 0x7f;
        break;
      case 2:
        input[at] = static_cast<std::uint8_t>(input[at] + 1);
        break;
      case 3:
        input.resize(at);
        break;
      default: {
        const Input part(input.begin() + static_cast<std::ptrdiff_t>(at), input.end());
        if (input.size() + part.size() <= kMaxBytes) input.insert(input.end(), part.begin(), part.end());
      }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s INPUTS\n", argv[0]);
    return 2;
  }
  const std::size_t inputs = std::strtoul(argv[1], nullptr, 10);
  std::signal(SIGABRT, showInput);
  Random random(1);
  std::vector<Input> pool(kPool);
  for (std::size_t i = 0; i < inputs; ++i) {
    Input& place = pool[random() % kPool];
    place = random() % 3 == 0 ? fresh(random) : mutated(pool[random() % kPool], random);
    current = &place;
    // A copy of exactly that size, so that a sanitizer sees the first byte beyond.
    const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[place.size()]);
    std::copy(place.begin(), place.end(), bytes.get());
    LLVMFuzzerTestOneInput(bytes.get(), place.size());
  }
  std::printf("%zu inputs, nothing found\n", inputs);
  return 0;
}
