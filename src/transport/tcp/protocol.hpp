// What travels on the connections of a control channel. Integers in network byte order.
//
// 1. The rendezvous greets whoever connects with a challenge (fixed size).
// 2. The rank answers with a hello (fixed size) that proves the secret of the unique id: a keyed hash over both nonces and all its other
// fields.
// 3. The rendezvous answers with a proof of its own (32 bytes): now each knows that the other has the secret. To anything else it answers
// nothing and hangs up.
// 4. From then on frames in both directions: payload length (4 bytes), type (1 byte), payload.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transport/control.hpp"
#include "transport/tcp/random.hpp"
#include "transport/tcp/unique_id.hpp"

namespace qccl::transport {

inline constexpr std::uint32_t kProtocolVersion = 1;
inline constexpr std::size_t kNonceBytes = 32;
inline constexpr std::size_t kHostNameBytes = 64;  // padded with zeros
inline constexpr std::size_t kChallengeBytes = 4 + 4 + kNonceBytes;
inline constexpr std::size_t kHelloBytes = 4 + 4 + sizeof(RoomId) + 4 + 4 + kNonceBytes + 16 + 4 + kHostNameBytes + sizeof(Digest);
inline constexpr std::size_t kFrameHeaderBytes = 5;
// One rank's contribution to an allGather, and any sentence, stay far below this.
inline constexpr std::size_t kMaxMemberFrameBytes = std::size_t{4} << 20;
// An allGather's result: of at most kMaxMembers contributions.
inline constexpr std::size_t kMaxRootFrameBytes = std::size_t{1} << 30;
inline constexpr int kMaxMembers = 65535;  // a transport's tag has 16 bits for the rank

// In the place of a rank: "I only ask whether this rendezvous is alive".
inline constexpr std::uint32_t kProbeRank = 0xffffffff;

using Nonce = std::array<std::uint8_t, kNonceBytes>;

struct Hello {
  RoomId room{};
  std::uint32_t rank = 0;
  std::uint32_t size = 0;
  Nonce nonce{};
  ProcessIdentity process;
};

std::string encodeChallenge(const Nonce& nonce);
std::optional<Nonce> decodeChallenge(std::string_view bytes);  // nullopt: not a rendezvous of this version

std::string encodeHello(const Hello& hello, const Secret& secret, const Nonce& challenge);
// Which room is asked for; nullopt if the bytes are no hello of this version.
std::optional<RoomId> roomOfHello(std::string_view bytes);
// nullopt if the proof is wrong.
std::optional<Hello> decodeHello(std::string_view bytes, const Secret& secret, const Nonce& challenge);

// The rendezvous's own proof.
Digest rootProof(const Secret& secret, const Nonce& challenge, const Nonce& nonce);

enum class FrameType : std::uint8_t {
  // From a rank.
  gather = 1,      // its contribution to the next allGather
  fail = 2,        // code, rank, sentence
  leave = 3,       // nothing
  askMissing = 4,  // which ranks are we waiting for? Answer: missing
  askStatus = 5,   // what is everybody doing? Answers: statusOf, as they come
  status = 6,      // answer to statusWanted
  // From the root.
  joined = 16,        // all have come; payload: the ranks that live in the root's process
  gathered = 17,      // the contributions by rank
  failed = 18,        // code, rank, sentence
  allLeft = 19,       // nothing
  missing = 20,       // ranks
  statusWanted = 21,  // nothing
  statusOf = 22,      // rank, status
};

struct Frame {
  FrameType type{};
  std::string payload;
};

std::string encodeFrame(FrameType type, std::string_view payload);

// Takes one whole frame off the front of `bytes`; nullopt if there is none yet. Throws Error(qcclSystemError) for a length above
// `maxPayloadBytes`.
std::optional<Frame> takeFrame(std::string& bytes, std::size_t maxPayloadBytes);

// Payloads. Decoders throw Error(qcclSystemError) for malformed bytes.
std::string encodeFailure(const Failure& failure);
Failure decodeFailure(std::string_view payload);
std::string encodeStatus(int rank, const RankStatus& status);
std::pair<int, RankStatus> decodeStatus(std::string_view payload);
std::string encodeRanks(const std::vector<int>& ranks);
std::vector<int> decodeRanks(std::string_view payload);
std::string encodeTexts(const std::vector<std::string>& texts);
std::vector<std::string> decodeTexts(std::string_view payload);

}  // namespace qccl::transport
