#include "transport/tcp/protocol.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"

namespace qccl::transport {
namespace {

constexpr std::string_view kChallengeMagic = "qcch";
constexpr std::string_view kHelloMagic = "qchl";

void putU32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

template <std::size_t N>
void putArray(std::string& out, const std::array<std::uint8_t, N>& bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), N);
}

// Reads a message front to back; what is not there is an error.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  std::string_view take(std::size_t bytes) {
    if (bytes > left_.size())
      fail(qcclSystemError, "a message of the control channel is shorter than it says: both sides must use the same version of qccl");
    const std::string_view taken = left_.substr(0, bytes);
    left_.remove_prefix(bytes);
    return taken;
  }
  std::uint32_t u32() {
    std::uint32_t value = 0;
    for (const char byte : take(4)) value = value << 8 | static_cast<std::uint8_t>(byte);
    return value;
  }
  template <std::size_t N>
  std::array<std::uint8_t, N> array() {
    std::array<std::uint8_t, N> bytes;
    std::memcpy(bytes.data(), take(N).data(), N);
    return bytes;
  }
  std::string_view rest() const { return left_; }

 private:
  std::string_view left_;
};

Digest helloProof(const Secret& secret, const Nonce& challenge, std::string_view fields) {
  std::string message = "qccl rank";
  putArray(message, challenge);
  message += fields;
  return hmacSha256(asBytes(secret), message);
}

}  // namespace

std::string encodeChallenge(const Nonce& nonce) {
  std::string out(kChallengeMagic);
  putU32(out, kProtocolVersion);
  putArray(out, nonce);
  return out;
}

std::optional<Nonce> decodeChallenge(std::string_view bytes) {
  Reader in(bytes);
  if (bytes.size() != kChallengeBytes || in.take(4) != kChallengeMagic || in.u32() != kProtocolVersion) return std::nullopt;
  return in.array<kNonceBytes>();
}

std::string encodeHello(const Hello& hello, const Secret& secret, const Nonce& challenge) {
  std::string out(kHelloMagic);
  putU32(out, kProtocolVersion);
  putArray(out, hello.room);
  putU32(out, hello.rank);
  putU32(out, hello.size);
  putArray(out, hello.nonce);
  putArray(out, hello.process.token);
  putU32(out, hello.process.pid);
  std::string host = hello.process.host.substr(0, kHostNameBytes);
  host.resize(kHostNameBytes, '\0');
  out += host;
  putArray(out, helloProof(secret, challenge, out));
  QCCL_CHECK(out.size() == kHelloBytes);
  return out;
}

std::optional<RoomId> roomOfHello(std::string_view bytes) {
  Reader in(bytes);
  if (bytes.size() != kHelloBytes || in.take(4) != kHelloMagic || in.u32() != kProtocolVersion) return std::nullopt;
  return in.array<sizeof(RoomId)>();
}

std::optional<Hello> decodeHello(std::string_view bytes, const Secret& secret, const Nonce& challenge) {
  const std::string_view fields = bytes.substr(0, kHelloBytes - sizeof(Digest));
  Digest proof;
  std::memcpy(proof.data(), bytes.data() + fields.size(), proof.size());
  if (!equalDigests(proof, helloProof(secret, challenge, fields))) return std::nullopt;
  Reader in(fields);
  in.take(8);
  Hello hello;
  hello.room = in.array<sizeof(RoomId)>();
  hello.rank = in.u32();
  hello.size = in.u32();
  hello.nonce = in.array<kNonceBytes>();
  hello.process.token = in.array<16>();
  hello.process.pid = in.u32();
  const std::string_view host = in.take(kHostNameBytes);
  hello.process.host = std::string(host.substr(0, host.find('\0')));
  return hello;
}

Digest rootProof(const Secret& secret, const Nonce& challenge, const Nonce& nonce) {
  std::string message = "qccl root";
  putArray(message, challenge);
  putArray(message, nonce);
  return hmacSha256(asBytes(secret), message);
}

std::string encodeFrame(FrameType type, std::string_view payload) {
  std::string out;
  out.reserve(kFrameHeaderBytes + payload.size());
  putU32(out, static_cast<std::uint32_t>(payload.size()));
  out += static_cast<char>(type);
  out += payload;
  return out;
}

std::optional<Frame> takeFrame(std::string& bytes, std::size_t maxPayloadBytes) {
  if (bytes.size() < kFrameHeaderBytes) return std::nullopt;
  Reader in(bytes);
  const std::size_t payloadBytes = in.u32();
  if (payloadBytes > maxPayloadBytes)
    fail(qcclSystemError, "a message of the control channel claims ", payloadBytes, " bytes, more than the ", maxPayloadBytes, " allowed");
  if (bytes.size() < kFrameHeaderBytes + payloadBytes) return std::nullopt;
  Frame frame;
  frame.type = static_cast<FrameType>(in.take(1).front());
  frame.payload = std::string(in.take(payloadBytes));
  bytes.erase(0, kFrameHeaderBytes + payloadBytes);
  return frame;
}

std::string encodeFailure(const Failure& failure) {
  std::string out;
  putU32(out, static_cast<std::uint32_t>(failure.code));
  putU32(out, static_cast<std::uint32_t>(failure.rank));
  out += failure.what.substr(0, kMaxMemberFrameBytes / 2);
  return out;
}

Failure decodeFailure(std::string_view payload) {
  Reader in(payload);
  Failure failure;
  const std::uint32_t code = in.u32();
  failure.code = code > 0 && code < qcclNumResults ? static_cast<qcclResult_t>(code) : qcclInternalError;
  failure.rank = static_cast<int>(in.u32());
  failure.what = std::string(in.rest());
  return failure;
}

std::string encodeStatus(int rank, const RankStatus& status) {
  std::string out;
  putU32(out, static_cast<std::uint32_t>(rank));
  putU32(out, static_cast<std::uint32_t>(status.call >> 32));
  putU32(out, static_cast<std::uint32_t>(status.call));
  putU32(out, static_cast<std::uint32_t>(status.awaited));
  return out;
}

std::pair<int, RankStatus> decodeStatus(std::string_view payload) {
  Reader in(payload);
  const int rank = static_cast<int>(in.u32());
  const std::uint64_t high = in.u32();
  RankStatus status;
  status.call = high << 32 | in.u32();
  status.awaited = static_cast<int>(in.u32());
  return {rank, status};
}

std::string encodeRanks(const std::vector<int>& ranks) {
  std::string out;
  for (const int rank : ranks) putU32(out, static_cast<std::uint32_t>(rank));
  return out;
}

std::vector<int> decodeRanks(std::string_view payload) {
  Reader in(payload);
  std::vector<int> ranks;
  while (!in.rest().empty()) ranks.push_back(static_cast<int>(in.u32()));
  return ranks;
}

std::string encodeTexts(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) {
    putU32(out, static_cast<std::uint32_t>(text.size()));
    out += text;
  }
  return out;
}

std::vector<std::string> decodeTexts(std::string_view payload) {
  Reader in(payload);
  std::vector<std::string> texts;
  while (!in.rest().empty()) {
    const std::size_t bytes = in.u32();
    texts.emplace_back(in.take(bytes));
  }
  return texts;
}

}  // namespace qccl::transport
