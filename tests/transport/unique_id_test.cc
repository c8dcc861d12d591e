// The bytes of a unique id, the hash behind its proof, and what the control channel's decoders make of bytes that are not theirs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "core/error.hpp"
#include "transport/tcp/protocol.hpp"

namespace qccl::test {
namespace {

using namespace transport;

std::string hex(const Digest& digest) { return toHex(digest.data(), digest.size()); }

// The examples of FIPS 180-4 and of RFC 4231.
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha256(std::string(1000000, 'a'))), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(hex(hmacSha256(std::string(20, '\x0b'), "Hi There")), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(hmacSha256("Jefe", "what do ya want for nothing?")), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(hmacSha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Sha256, EveryLengthAroundABlock) {
  // Distinct and stable under splitting hairs: a wrong padding makes two lengths collide or read past the end (seen by the sanitizers).
  std::vector<std::string> seen;
  for (std::size_t length = 0; length < 200; ++length) seen.push_back(hex(sha256(std::string(length, 'x'))));
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

UniqueIdFields fieldsFor(const std::string& host, std::uint16_t port) {
  UniqueIdFields fields;
  fields.address = *SocketAddress::parse(host);
  fields.address.setPort(port);
  for (std::size_t i = 0; i < fields.secret.size(); ++i) fields.secret[i] = static_cast<std::uint8_t>(i + 1);
  return fields;
}

TEST(UniqueId, LayoutIsAsWrittenDown) {
  const qcclUniqueId id = encodeUniqueId(fieldsFor("10.1.2.3", 0x1234));
  std::string expected("qcid\x01\x04\x12\x34\x0a\x01\x02\x03", 12);
  expected.resize(32, '\0');
  for (int i = 1; i <= 32; ++i) expected += static_cast<char>(i);
  expected.resize(128, '\0');
  EXPECT_EQ(std::string(id.internal, sizeof id), expected);
}

TEST(UniqueId, SurvivesTheRoundTrip) {
  for (const char* host : {"127.0.0.1", "::1", "2001:db8::7"}) {
    UniqueIdFields fields = fieldsFor(host, 65535);
    fields.mayStartLater = true;
    const UniqueIdFields back = decodeUniqueId(encodeUniqueId(fields));
    EXPECT_EQ(back.address.text(), fields.address.text());
    EXPECT_EQ(back.secret, fields.secret);
    EXPECT_TRUE(back.mayStartLater);
  }
}

TEST(UniqueId, OtherBytesAreRefused) {
  const qcclUniqueId good = encodeUniqueId(fieldsFor("127.0.0.1", 1));
  for (const std::size_t damaged : {0, 3, 4, 5, 28, 29, 64, 127}) {
    qcclUniqueId id = good;
    id.internal[damaged] = static_cast<char>(id.internal[damaged] ^ 0x40);
    EXPECT_THROW(decodeUniqueId(id), Error) << "byte " << damaged;
  }
  qcclUniqueId zeros;
  std::memset(&zeros, 0, sizeof zeros);
  EXPECT_THROW(decodeUniqueId(zeros), Error);
}

Hello sampleHello(const Secret& secret) {
  Hello hello;
  hello.room = roomOf(secret);
  hello.rank = 3;
  hello.size = 8;
  hello.process = thisProcess();
  return hello;
}

TEST(Protocol, AHelloIsBoundToItsChallengeAndSecret) {
  const Secret secret = randomBytes<32>();
  const Nonce challenge = randomBytes<32>();
  const std::string bytes = encodeHello(sampleHello(secret), secret, challenge);
  ASSERT_EQ(bytes.size(), kHelloBytes);
  const auto hello = decodeHello(bytes, secret, challenge);
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->rank, 3u);
  EXPECT_EQ(hello->size, 8u);
  EXPECT_EQ(hello->process.pid, thisProcess().pid);
  EXPECT_FALSE(decodeHello(bytes, secret, randomBytes<32>()).has_value()) << "a recorded hello must be of no use";
  EXPECT_FALSE(decodeHello(bytes, randomBytes<32>(), challenge).has_value());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    const bool accepted = roomOfHello(damaged).has_value() && decodeHello(damaged, secret, challenge).has_value();
    EXPECT_FALSE(accepted) << "byte " << i;
  }
}

TEST(Protocol, FramesComeBackWholeHoweverTheyArrive) {
  std::string stream =
      encodeFrame(FrameType::gather, "hello") + encodeFrame(FrameType::leave, "") + encodeFrame(FrameType::fail, std::string(3000, 'z'));
  std::string arrived;
  std::vector<std::size_t> sizes;
  for (const char byte : stream) {
    arrived += byte;
    while (const auto frame = takeFrame(arrived, 4000)) sizes.push_back(frame->payload.size());
  }
  EXPECT_THAT(sizes, testing::ElementsAre(5, 0, 3000));
  EXPECT_TRUE(arrived.empty());
  std::string tooLong = encodeFrame(FrameType::gather, std::string(4001, 'x'));
  EXPECT_THROW(takeFrame(tooLong, 4000), Error);
}

TEST(Protocol, PayloadsSurviveTheRoundTrip) {
  EXPECT_EQ(decodeTexts(encodeTexts({"", "a", std::string(1, '\0')})), (std::vector<std::string>{"", "a", std::string(1, '\0')}));
  EXPECT_EQ(decodeRanks(encodeRanks({0, 7, 65534})), (std::vector<int>{0, 7, 65534}));
  const Failure back = decodeFailure(encodeFailure({qcclTimeout, -1, "too late"}));
  EXPECT_EQ(back.code, qcclTimeout);
  EXPECT_EQ(back.rank, -1);
  EXPECT_EQ(back.what, "too late");
}

// Random bytes are refused or mean something; they never crash (the sanitizers watch).
TEST(Protocol, DecodersBearAnyBytes) {
  std::mt19937 random(20240607);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % (i % 2 == 0 ? 256 : 4));
    const auto attempt = [&](const auto& decode) {
      try {
        decode();
      } catch (const Error&) {
        // refused
      }
    };
    attempt([&] { decodeFailure(bytes); });
    attempt([&] { decodeRanks(bytes); });
    attempt([&] { decodeTexts(bytes); });
    attempt([&] { decodeChallenge(bytes); });
    attempt([&] { roomOfHello(bytes); });
    attempt([&] {
      std::string stream = bytes;
      while (takeFrame(stream, 1000).has_value()) {
      }
    });
  }
}

}  // namespace
}  // namespace qccl::test
