// What is read from a control connection before anything is known of the other side, and the frames that follow: whatever the bytes are, a
// message is either taken apart into what would be encoded as the same bytes, or refused with an Error.
//
// The first byte of an input chooses the parser, the rest is what it reads.
#include <algorithm>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "fuzz/fuzz_check.hpp"
#include "transport/tcp/protocol.hpp"

namespace qccl::transport {
namespace {

using test::fuzzCheck;

constexpr std::size_t kMaxPayloadBytes = 4096;

// What arrives, cut at any place, gives the same frames; no frame is longer than allowed.
void checkFrames(std::string_view bytes) {
  std::string whole(bytes), grown;
  std::size_t arrived = 0;
  const auto grow = [&] {
    const std::size_t more = std::min<std::size_t>(bytes.size() - arrived, 1 + arrived % 7);
    grown += bytes.substr(arrived, more);
    arrived += more;
  };
  while (const std::optional<Frame> frame = takeFrame(whole, kMaxPayloadBytes)) {
    fuzzCheck(frame->payload.size() <= kMaxPayloadBytes, "a frame is longer than allowed");
    std::optional<Frame> later;
    while (!(later = takeFrame(grown, kMaxPayloadBytes)) && arrived < bytes.size()) grow();
    fuzzCheck(later && later->type == frame->type && later->payload == frame->payload, "a frame depends on how its bytes arrive");
  }
}

// Whatever the hello says, one that is proved comes out as it was said, and one bit of difference makes it unbelievable.
void checkHello(std::string_view bytes) {
  const Secret secret{};
  const Nonce challenge{};
  const auto isRefused = [&](std::string_view hello) { return !roomOfHello(hello) || !decodeHello(hello, secret, challenge); };
  fuzzCheck(isRefused(bytes), "a hello without a proof is believed");

  const auto number = [&](std::size_t i) -> std::uint32_t { return i < bytes.size() ? static_cast<std::uint8_t>(bytes[i]) : 0; };
  Hello said;
  said.rank = number(0) << 24 | number(1);
  said.size = number(2);
  said.process.pid = number(3);
  said.process.host = std::string(bytes.substr(0, bytes.find('\0')));
  std::string message = encodeHello(said, secret, challenge);
  const std::optional<Hello> heard = decodeHello(message, secret, challenge);
  fuzzCheck(roomOfHello(message) == said.room && heard && heard->rank == said.rank && heard->size == said.size &&
                heard->process.pid == said.process.pid && heard->process.host == said.process.host.substr(0, kHostNameBytes),
            "a hello changed on the way");
  message[(number(4) << 8 | number(5)) % message.size()] ^= static_cast<char>(1 << number(6) % 8);
  fuzzCheck(isRefused(message), "a hello that was changed on the way is believed");
  message.resize(message.size() - 1 - number(7) % message.size());
  fuzzCheck(isRefused(message), "a part of a hello is believed");
}

void checkOne(unsigned parser, std::string_view bytes) {
  switch (parser % 7) {
    case 0:
      if (const std::optional<Nonce> nonce = decodeChallenge(bytes)) fuzzCheck(encodeChallenge(*nonce) == bytes, "a challenge changed");
      break;
    case 1:
      checkHello(bytes);
      break;
    case 2:
      checkFrames(bytes);
      break;
    case 3: {
      const Failure failure = decodeFailure(bytes);
      fuzzCheck(failure.code > qcclSuccess && failure.code < qcclNumResults, "a failure has a code that does not exist");
      break;
    }
    case 4: {
      const auto [rank, status] = decodeStatus(bytes);
      fuzzCheck(encodeStatus(rank, status) == bytes.substr(0, 16), "a status changed");
      break;
    }
    case 5:
      fuzzCheck(encodeRanks(decodeRanks(bytes)) == bytes, "a list of ranks changed");
      break;
    default:
      fuzzCheck(encodeTexts(decodeTexts(bytes)) == bytes, "a list of texts changed");
  }
}

}  // namespace
}  // namespace qccl::transport

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    qccl::transport::checkOne(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  } catch (const qccl::Error&) {
    // Refused.
  }
  return 0;
}
