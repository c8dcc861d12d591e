// What a control channel promises, for both kinds: threads of one process, and the star of TCP connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/error.hpp"
#include "rank_threads.hpp"
#include "transport/bootstrap.hpp"
#include "transport/inproc/inproc_hub.hpp"
#include "transport/tcp/control_tcp.hpp"
#include "transport/tcp/rendezvous_server.hpp"

namespace qccl::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using transport::Control;
using transport::Failure;

Deadline patience() { return Deadline::in(std::chrono::seconds(60)); }

Settings testSettings() {
  Settings settings = readSettings();
  settings.timeoutMs = 60000;
  return settings;
}

std::vector<std::unique_ptr<Control>> inprocControls(int size) {
  std::vector<std::unique_ptr<Control>> controls;
  const auto group = transport::makeInprocGroup(size);
  for (int rank = 0; rank < size; ++rank) controls.push_back(transport::makeInprocControl(group, rank));
  return controls;
}

std::vector<std::unique_ptr<Control>> tcpControls(int size) {
  std::vector<std::unique_ptr<Control>> controls(static_cast<std::size_t>(size));
  const auto fields = transport::decodeUniqueId(transport::makeUniqueId(testSettings()));
  const auto complaints = runRankThreads(size, [&](int rank) {
    controls[static_cast<std::size_t>(rank)] = transport::TcpControl::join(fields, rank, size, patience(), std::chrono::seconds(20));
  });
  EXPECT_THAT(complaints, Each(""));
  return controls;
}

bool waitFailed(const Control& control) {
  const Deadline deadline = patience();
  while (!control.failed() && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return control.failed();
}

// The error that a call throws; code qcclSuccess if none.
template <typename Call>
Error errorOf(const Call& call) {
  try {
    call();
    return Error(qcclSuccess, "nothing was thrown");
  } catch (const Error& error) {
    return error;
  }
}

struct Kind {
  const char* name;
  std::vector<std::unique_ptr<Control>> (*make)(int size);
};

class ControlTest : public testing::TestWithParam<Kind> {
 protected:
  void TearDown() override {
    controls.clear();
    const Deadline deadline = patience();
    while (transport::runningRendezvousServers() > 0 && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(transport::runningRendezvousServers(), 0) << "a rendezvous outlives its ranks";
  }

  void connect(int size) { controls = GetParam().make(size); }
  std::vector<std::string> onEveryRank(const std::function<void(Control&)>& body) {
    return runRankThreads(static_cast<int>(controls.size()), [&](int rank) { body(*controls[static_cast<std::size_t>(rank)]); });
  }

  std::vector<std::unique_ptr<Control>> controls;
};

TEST_P(ControlTest, GathersInRankOrderAgainAndAgain) {
  connect(5);
  const auto complaints = onEveryRank([](Control& control) {
    for (int round = 0; round < 40; ++round) {
      const auto text = [&](int rank) {
        return std::string(static_cast<std::size_t>(rank * round * 97 % 50000), static_cast<char>('a' + rank));
      };
      const auto all = control.allGather(text(control.rank()), patience());
      ASSERT_EQ(all.size(), 5u);
      for (int rank = 0; rank < 5; ++rank) ASSERT_EQ(all[static_cast<std::size_t>(rank)], text(rank));
    }
    control.leave(patience());
    EXPECT_FALSE(control.failed());
  });
  EXPECT_THAT(complaints, Each(""));
}

TEST_P(ControlTest, FailureReachesEveryRankAsItIs) {
  connect(3);
  controls[1]->fail({qcclInvalidUsage, 1, "the counts differ"});
  for (const auto& control : controls) {
    ASSERT_TRUE(waitFailed(*control));
    EXPECT_EQ(control->failure().code, qcclInvalidUsage);
    EXPECT_EQ(control->failure().rank, 1);
    EXPECT_EQ(control->failure().what, "the counts differ");
  }
  controls[1]->fail({qcclInternalError, 1, "a later one"});
  EXPECT_EQ(controls[1]->failure().what, "the counts differ");
}

TEST_P(ControlTest, FailureEndsAnExchangeInProgress) {
  connect(3);
  const auto complaints = onEveryRank([](Control& control) {
    if (control.rank() == 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      control.fail({qcclTimeout, 2, "rank 2 gave up"});
      return;
    }
    control.allGather("x", patience());
  });
  EXPECT_THAT(complaints, testing::ElementsAre("rank 2 gave up", "rank 2 gave up", ""));
  EXPECT_EQ(errorOf([&] { controls[0]->allGather("x", patience()); }).code(), qcclTimeout) << "later calls say the same";
}

TEST_P(ControlTest, ARankThatEndsWithoutLeavingIsNamed) {
  connect(4);
  controls[2].reset();
  for (const int rank : {0, 1, 3}) {
    const Control& control = *controls[static_cast<std::size_t>(rank)];
    ASSERT_TRUE(waitFailed(control));
    EXPECT_EQ(control.failure().code, qcclRemoteError);
    EXPECT_EQ(control.failure().rank, 2);
    EXPECT_THAT(control.failure().what, HasSubstr("rank 2"));
  }
}

TEST_P(ControlTest, AnExchangeThatLacksRanksNamesThem) {
  connect(4);
  const auto complaints = onEveryRank([](Control& control) {
    if (control.rank() == 1 || control.rank() == 3) return;
    const Error error = errorOf([&] { control.allGather("x", Deadline::in(std::chrono::milliseconds(300))); });
    EXPECT_EQ(error.code(), qcclTimeout) << error.what();
    EXPECT_THAT(error.what(), AllOf(HasSubstr("ranks"), HasSubstr("1"), HasSubstr("3")));
  });
  EXPECT_THAT(complaints, Each(""));
}

// Leaving waits for the other ranks, unless they are of the same process.
class WaitingControlTest : public ControlTest {};

TEST_P(WaitingControlTest, LeavingWithoutTheOthersNamesThem) {
  connect(3);
  const Error error = errorOf([&] { controls[0]->leave(Deadline::in(std::chrono::milliseconds(300))); });
  EXPECT_EQ(error.code(), qcclTimeout);
  EXPECT_THAT(error.what(), HasSubstr("ranks 1 and 2"));
}

TEST_P(ControlTest, LeavingAFailedCommunicatorReturnsAtOnce) {
  connect(3);
  controls[0]->fail({qcclInternalError, 0, "broken"});
  ASSERT_TRUE(waitFailed(*controls[1]));
  controls[1]->leave(patience());
  controls[0]->leave(patience());
}

TEST_P(ControlTest, LeavingIsNotADeath) {
  connect(3);
  const auto complaints = runRankThreads(3, [&](int rank) {
    auto& control = controls[static_cast<std::size_t>(rank)];
    std::this_thread::sleep_for(std::chrono::milliseconds(10 * rank));
    control->leave(patience());
    EXPECT_FALSE(control->failed()) << control->failure().what;
    control.reset();
  });
  EXPECT_THAT(complaints, Each(""));
}

TEST_P(ControlTest, ExchangingWithARankThatHasLeftIsAnError) {
  connect(2);
  const auto complaints = onEveryRank([](Control& control) {
    if (control.rank() == 0) {
      errorOf([&] { control.leave(Deadline::in(std::chrono::seconds(1))); });
    } else {
      const Error error = errorOf([&] { control.allGather("x", patience()); });
      EXPECT_EQ(error.code(), qcclInvalidUsage);
      EXPECT_THAT(error.what(), HasSubstr("rank 0 left"));
    }
  });
  EXPECT_THAT(complaints, Each(""));
}

TEST_P(ControlTest, FailingFromManyThreadsAtOnceKeepsOneStory) {
  connect(3);
  onEveryRank([](Control& control) { control.fail({qcclRemoteError, control.rank(), strCat("from rank ", control.rank())}); });
  for (const auto& control : controls) {
    EXPECT_TRUE(control->failed());
    EXPECT_THAT(control->failure().what, HasSubstr("from rank "));
  }
}

std::string nameOf(const testing::TestParamInfo<Kind>& each) { return each.param.name; }

INSTANTIATE_TEST_SUITE_P(Control, ControlTest, testing::Values(Kind{"inproc", inprocControls}, Kind{"tcp", tcpControls}), nameOf);
INSTANTIATE_TEST_SUITE_P(Control, WaitingControlTest, testing::Values(Kind{"tcp", tcpControls}), nameOf);

}  // namespace
}  // namespace qccl::test
