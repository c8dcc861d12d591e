// Meeting by a unique id: what goes wrong is said to those it concerns, and strangers can do nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "core/error.hpp"
#include "rank_threads.hpp"
#include "transport/bootstrap.hpp"
#include "transport/tcp/handshake.hpp"
#include "transport/tcp/rendezvous_server.hpp"

namespace qccl::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using transport::decodeUniqueId;
using transport::Fd;
using transport::joinTcp;
using transport::makeUniqueId;
using transport::Membership;
using transport::UniqueIdFields;

Deadline patience() { return Deadline::in(std::chrono::seconds(60)); }

Settings testSettings(int timeoutMs = 60000) {
  Settings settings = readSettings();
  settings.timeoutMs = timeoutMs;
  settings.transport = "auto";
  return settings;
}

template <typename Call>
Error errorOf(const Call& call) {
  try {
    call();
    return Error(qcclSuccess, "nothing was thrown");
  } catch (const Error& error) {
    return error;
  }
}

class RendezvousTest : public testing::Test {
 protected:
  void TearDown() override {
    const Deadline deadline = patience();
    while (transport::runningRendezvousServers() > 0 && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(transport::runningRendezvousServers(), 0) << "a rendezvous outlives its ranks and its timeout";
  }

  static void meetAndLeaveAs(const qcclUniqueId& id, int rank, int size, const Settings& settings) {
    const Membership member = joinTcp(id, rank, size, settings);
    member.control->leave(patience());
  }

  static void meetAndLeave(const qcclUniqueId& id, int size, const Settings& settings) {
    const auto complaints = runRankThreads(size, [&](int rank) {
      const Membership member = joinTcp(id, rank, size, settings);
      EXPECT_EQ(member.control->rank(), rank);
      EXPECT_EQ(member.control->size(), size);
      member.control->leave(patience());
    });
    EXPECT_THAT(complaints, Each(""));
  }
};

TEST_F(RendezvousTest, RanksOfOneProcessGetInproc) {
  const Settings settings = testSettings();
  const qcclUniqueId id = makeUniqueId(settings);
  const auto complaints = runRankThreads(3, [&](int rank) {
    const Membership member = joinTcp(id, rank, 3, settings);
    EXPECT_STREQ(member.transport->name(), "inproc");
    char byte = static_cast<char>(rank);
    const auto send = member.transport->send((rank + 1) % 3, 1, &byte, 1);
    char got = 0;
    const auto receive = member.transport->recv((rank + 2) % 3, 1, &got, 1);
    const Deadline deadline = patience();
    while (!(send->poll() && receive->poll()) && !deadline.passed()) std::this_thread::yield();
    EXPECT_EQ(got, (rank + 2) % 3);
    member.control->leave(patience());
  });
  EXPECT_THAT(complaints, Each(""));
}

TEST_F(RendezvousTest, OneRankMeetsItself) { meetAndLeave(makeUniqueId(testSettings()), 1, testSettings()); }

TEST_F(RendezvousTest, ManyRanksMeet) { meetAndLeave(makeUniqueId(testSettings()), 24, testSettings()); }

TEST_F(RendezvousTest, WorksOverIpv6) {
  Settings settings = testSettings();
  settings.interfaceName = "::1";
  qcclUniqueId id;
  try {
    id = makeUniqueId(settings);
  } catch (const Error& error) {
    GTEST_SKIP() << "this host has no IPv6 loopback: " << error.what();
  }
  EXPECT_EQ(decodeUniqueId(id).address.family(), AF_INET6);
  meetAndLeave(id, 2, settings);
}

TEST_F(RendezvousTest, InterfaceIsRespected) {
  Settings settings = testSettings();
  settings.interfaceName = "lo";
  const qcclUniqueId id = makeUniqueId(settings);
  EXPECT_THAT(decodeUniqueId(id).address.text(), HasSubstr("127.0.0.1:"));
  meetAndLeave(id, 2, settings);
  settings.interfaceName = "127.0.0.1";
  meetAndLeave(makeUniqueId(settings), 2, settings);
  settings.interfaceName = "nosuchinterface0";
  const Error error = errorOf([&] { makeUniqueId(settings); });
  EXPECT_EQ(error.code(), qcclInvalidArgument);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("QCCL_INTERFACE=nosuchinterface0"), HasSubstr("lo")));
}

TEST_F(RendezvousTest, WrongArgumentsAreRefusedBeforeAnythingIsSent) {
  const Settings settings = testSettings(2000);
  const qcclUniqueId id = makeUniqueId(settings);
  EXPECT_EQ(errorOf([&] { joinTcp(id, 2, 2, settings); }).code(), qcclInvalidArgument);
  EXPECT_EQ(errorOf([&] { joinTcp(id, -1, 2, settings); }).code(), qcclInvalidArgument);
  EXPECT_EQ(errorOf([&] { joinTcp(id, 0, 0, settings); }).code(), qcclInvalidArgument);
  meetAndLeave(id, 2, settings);
}

TEST_F(RendezvousTest, MissingRanksAreNamedToThoseThatCame) {
  const Settings settings = testSettings(700);
  const qcclUniqueId id = makeUniqueId(settings);
  const auto complaints = runRankThreads(2, [&](int index) {
    const Error error = errorOf([&] { joinTcp(id, index * 2, 5, settings); });
    EXPECT_EQ(error.code(), qcclTimeout) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("ranks 1, 3 and 4"));
  });
  EXPECT_THAT(complaints, Each(""));
}

TEST_F(RendezvousTest, DifferentSizesAreToldToAll) {
  const Settings settings = testSettings(5000);
  const qcclUniqueId id = makeUniqueId(settings);
  const auto complaints = runRankThreads(2, [&](int rank) {
    const Error error = errorOf([&] { joinTcp(id, rank, rank == 0 ? 3 : 4, settings); });
    EXPECT_EQ(error.code(), qcclInvalidUsage) << error.what();
    EXPECT_THAT(error.what(), AllOf(HasSubstr("rank 0 says 3"), HasSubstr("rank 1 says 4")));
  });
  EXPECT_THAT(complaints, Each(""));
  // Ranks that come later hear it too.
  for (const int rank : {1, 2}) EXPECT_THAT(errorOf([&] { joinTcp(id, rank, 3, settings); }).what(), HasSubstr("disagree"));
}

TEST_F(RendezvousTest, ASecondRankOfTheSameNumberIsRefusedAndTheFirstGoesOn) {
  const Settings settings = testSettings();
  const qcclUniqueId id = makeUniqueId(settings);
  std::atomic<int> refused{0};
  const auto beRankZero = [&] {
    try {
      meetAndLeaveAs(id, 0, 2, settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), qcclInvalidUsage);
      EXPECT_THAT(error.what(), HasSubstr("rank 0 has already joined"));
      ++refused;
    }
  };
  std::thread one(beRankZero);
  std::thread other(beRankZero);
  const Deadline deadline = patience();
  while (refused == 0 && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  meetAndLeaveAs(id, 1, 2, settings);
  one.join();
  other.join();
  EXPECT_EQ(refused, 1) << "exactly the one that came second";
}

TEST_F(RendezvousTest, DifferentTransportsAreToldToAll) {
  Settings settings = testSettings();
  const qcclUniqueId id = makeUniqueId(settings);
  const auto complaints = runRankThreads(2, [&](int rank) {
    Settings mine = settings;
    mine.transport = rank == 0 ? "ucx" : "inproc";
    const Error error = errorOf([&] { joinTcp(id, rank, 2, mine); });
    EXPECT_EQ(error.code(), qcclInvalidUsage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("rank 0 for ucx"), HasSubstr("rank 1 for inproc")));
  });
  EXPECT_THAT(complaints, Each(""));
}

TEST_F(RendezvousTest, AnIdIsGoodForOneMeeting) {
  const Settings settings = testSettings(3000);
  const qcclUniqueId id = makeUniqueId(settings);
  meetAndLeave(id, 2, settings);
  const Error error = errorOf([&] { joinTcp(id, 0, 2, settings); });
  EXPECT_EQ(error.code(), qcclRemoteError) << error.what();
}

TEST_F(RendezvousTest, AnIdWithAnotherSecretOpensNothing) {
  const Settings settings = testSettings(20000);
  const qcclUniqueId id = makeUniqueId(settings);
  UniqueIdFields guessed = decodeUniqueId(id);
  guessed.secret[31] ^= 1;
  const Error error = errorOf([&] { joinTcp(encodeUniqueId(guessed), 0, 2, settings); });
  EXPECT_EQ(error.code(), qcclRemoteError) << error.what();
  EXPECT_THAT(error.what(), HasSubstr("does not know this unique id"));
  meetAndLeave(id, 2, settings);
}

TEST_F(RendezvousTest, SomethingElseOnThePortIsNotTrusted) {
  transport::SocketAddress address = *transport::SocketAddress::parse("127.0.0.1");
  const Fd listener = transport::listenOn(address);
  ASSERT_TRUE(listener.valid());
  std::thread impostor([&] {
    for (int served = 0; served < 1;) {
      const Fd client(accept(listener.get(), nullptr, nullptr));
      if (!client.valid()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      // A proper challenge, and then a proof made without the secret.
      const std::string challenge = transport::encodeChallenge(transport::randomBytes<32>());
      ASSERT_EQ(send(client.get(), challenge.data(), challenge.size(), MSG_NOSIGNAL), static_cast<ssize_t>(challenge.size()));
      char hello[transport::kHelloBytes];
      ASSERT_EQ(recv(client.get(), hello, sizeof hello, MSG_WAITALL), static_cast<ssize_t>(sizeof hello));
      const auto proof = transport::randomBytes<32>();
      ASSERT_EQ(send(client.get(), proof.data(), proof.size(), MSG_NOSIGNAL), 32);
      ++served;
    }
  });
  UniqueIdFields fields;
  fields.address = address;
  fields.secret = transport::randomBytes<32>();
  const Error error = errorOf([&] { joinTcp(encodeUniqueId(fields), 0, 2, testSettings(20000)); });
  impostor.join();
  EXPECT_EQ(error.code(), qcclRemoteError);
  EXPECT_THAT(error.what(), HasSubstr("is not the rendezvous"));
}

// --- Strangers ---

Fd dial(const UniqueIdFields& fields) {
  Fd fd;
  EXPECT_EQ(transport::connectTo(fields.address, patience(), fd), transport::ConnectResult::connected);
  return fd;
}

// True if the other side ends the connection within the time; what it sends before is read and counted.
bool hungUpWithin(const Fd& fd, std::chrono::milliseconds limit, std::size_t* bytes = nullptr) {
  const Deadline deadline = Deadline::in(limit);
  while (!deadline.passed()) {
    char buffer[4096];
    const ssize_t got = recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0 && bytes != nullptr) *bytes += static_cast<std::size_t>(got);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return true;
    if (got < 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

TEST_F(RendezvousTest, StrangersAreDroppedAndTheRanksStillMeet) {
  const Settings settings = testSettings();
  const qcclUniqueId id = makeUniqueId(settings);
  const UniqueIdFields fields = decodeUniqueId(id);

  std::vector<Fd> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(dial(fields));

  const Fd garbage = dial(fields);
  const std::string noise(transport::kHelloBytes, '\xa5');
  ASSERT_EQ(send(garbage.get(), noise.data(), noise.size(), MSG_NOSIGNAL), static_cast<ssize_t>(noise.size()));
  std::size_t heard = 0;
  EXPECT_TRUE(hungUpWithin(garbage, std::chrono::seconds(30), &heard));
  EXPECT_LE(heard, transport::kChallengeBytes) << "a stranger is told nothing but the challenge";

  const Fd web = dial(fields);
  const std::string request = "GET / HTTP/1.1\r\nHost: example\r\n" + std::string(400, 'x') + "\r\n\r\n";
  ASSERT_EQ(send(web.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  EXPECT_TRUE(hungUpWithin(web, std::chrono::seconds(30)));

  // Somebody who sends as much as the socket takes: it ends soon, so the server does not take it in.
  const Fd flood = dial(fields);
  const std::string megabyte(std::size_t{1} << 20, '\xff');
  const Deadline deadline = patience();
  std::size_t sent = 0;
  while (!deadline.passed()) {
    const ssize_t now = send(flood.get(), megabyte.data(), megabyte.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (now > 0) sent += static_cast<std::size_t>(now);
    if (now < 0 && errno != EAGAIN) break;
    if (now < 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_FALSE(deadline.passed()) << "the flood was taken in: " << sent << " bytes";

  // A hello of the right shape whose proof is wrong, and a right beginning that never ends.
  transport::Hello hello;
  Fd refused;
  UniqueIdFields guessed = fields;
  guessed.secret[0] ^= 1;
  EXPECT_EQ(shakeHands(guessed, hello, patience(), refused), transport::HandshakeResult::hungUp);
  std::vector<Fd> drips;
  for (int i = 0; i < 5; ++i) {
    drips.push_back(dial(fields));
    ASSERT_EQ(send(drips.back().get(), "qchl", 4, MSG_NOSIGNAL), 4);
  }

  meetAndLeave(id, 3, settings);
}

TEST_F(RendezvousTest, SilenceAndDrippingEndByTime) {
  const Settings settings = testSettings(40000);
  const qcclUniqueId id = makeUniqueId(settings);
  const UniqueIdFields fields = decodeUniqueId(id);
  const Fd silent = dial(fields);
  const Fd drip = dial(fields);
  const auto limit = transport::kHandshakeLimit + std::chrono::seconds(15);
  std::thread dripping([&] {
    const Deadline deadline = Deadline::in(limit);
    while (!deadline.passed() && send(drip.get(), "q", 1, MSG_NOSIGNAL) == 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_FALSE(deadline.passed()) << "one byte at a time keeps a connection open";
  });
  EXPECT_TRUE(hungUpWithin(silent, limit));
  dripping.join();
  meetAndLeave(id, 2, settings);
}

TEST_F(RendezvousTest, MoreStrangersThanThereIsRoomForDoNotKeepRanksOut) {
  const Settings settings = testSettings();
  const qcclUniqueId id = makeUniqueId(settings);
  const UniqueIdFields fields = decodeUniqueId(id);
  std::vector<Fd> crowd;
  for (std::size_t i = 0; i < transport::kMaxStrangers + 50; ++i) crowd.push_back(dial(fields));
  meetAndLeave(id, 3, settings);
  EXPECT_TRUE(hungUpWithin(crowd.front(), std::chrono::seconds(30)));
}

// Who has the secret but breaks the protocol afterwards ends the communicator with a sentence, not the process.
TEST_F(RendezvousTest, AMemberThatSendsAHugeLengthFailsTheRoom) {
  const Settings settings = testSettings();
  const qcclUniqueId id = makeUniqueId(settings);
  const UniqueIdFields fields = decodeUniqueId(id);
  transport::Hello hello;
  hello.rank = 1;
  hello.size = 2;
  Fd member;
  ASSERT_EQ(shakeHands(fields, hello, patience(), member), transport::HandshakeResult::accepted);
  std::thread other([&] {
    const Error error = errorOf([&] { joinTcp(id, 0, 2, settings); });
    EXPECT_EQ(error.code(), qcclRemoteError);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("rank 1"), HasSubstr("more than")));
  });
  ASSERT_EQ(send(member.get(), "\xff\xff\xff\xff\x01", 5, MSG_NOSIGNAL), 5);
  EXPECT_TRUE(hungUpWithin(member, std::chrono::seconds(30)));
  other.join();
}

TEST_F(RendezvousTest, ARankThatGivesUpWhileMeetingIsNamed) {
  const Settings settings = testSettings();
  const qcclUniqueId id = makeUniqueId(settings);
  transport::Hello hello;
  hello.rank = 1;
  hello.size = 3;
  Fd member;
  ASSERT_EQ(shakeHands(decodeUniqueId(id), hello, patience(), member), transport::HandshakeResult::accepted);
  member.reset();
  for (const int rank : {0, 2}) {
    const Error error = errorOf([&] { joinTcp(id, rank, 3, settings); });
    EXPECT_EQ(error.code(), qcclRemoteError);
    EXPECT_THAT(error.what(), HasSubstr("rank 1 is gone"));
  }
}

}  // namespace
}  // namespace qccl::test
