// The launcher for one machine: this executable again, once a rank, watched until all have ended.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "core/deadline.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "transport/launch.hpp"
#include "transport/launch_board.hpp"

extern char** environ;

namespace qccl::transport {
namespace {

constexpr int kMaxLocalRanks = 1024;
constexpr int kCannotExec = 127;
// After the first failure: how long the other ranks may take to end by themselves.
constexpr std::chrono::seconds kGracePeriod{5};
constexpr std::chrono::milliseconds kCheckInterval{200};

// Blocks the signals that the launcher waits for, for its lifetime.
class SignalWait {
 public:
  SignalWait() {
    sigemptyset(&waited_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&waited_, signal);
    pthread_sigmask(SIG_BLOCK, &waited_, &before_);
  }
  ~SignalWait() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalWait(const SignalWait&) = delete;
  SignalWait& operator=(const SignalWait&) = delete;

  // The next of them, or 0 after kCheckInterval.
  int next() const {
    const timespec limit{0, std::chrono::nanoseconds(kCheckInterval).count()};
    const int signal = sigtimedwait(&waited_, nullptr, &limit);
    return signal > 0 ? signal : 0;
  }
  const sigset_t& before() const { return before_; }

 private:
  sigset_t waited_;
  sigset_t before_;
};

// The environment of one rank: ours, with the launch variables replaced.
std::vector<std::string> rankEnvironment(int rank, int nranks, const LaunchBoard& board) {
  std::vector<std::string> variables;
  for (char** at = environ; *at != nullptr; ++at) {
    if (std::strncmp(*at, "QCCL_LAUNCH_", 12) != 0) variables.emplace_back(*at);
  }
  variables.push_back(strCat("QCCL_LAUNCH_RANK=", rank));
  variables.push_back(strCat("QCCL_LAUNCH_SIZE=", nranks));
  variables.push_back(strCat("QCCL_LAUNCH_ID=", board.id()));
  variables.push_back(strCat("QCCL_LAUNCH_BOARD=", board.descriptor()));
  return variables;
}

// Between fork and exec: only what is safe when other threads' locks may be held.
[[noreturn]] void becomeRank(const char* program, char* const* arguments, char* const* environment, pid_t launcher, const sigset_t& mask) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launcher) _exit(kCannotExec);  // it died before the line above
  // Ranks are not the terminal's foreground group, so reading from it would stop them.
  const int null = open("/dev/null", O_RDONLY);
  if (null > 0) {
    dup2(null, STDIN_FILENO);
    close(null);
  }
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execve(program, arguments, environment);
  static constexpr char kText[] = "qccl: the local launcher cannot start /proc/self/exe\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kText, sizeof kText - 1);
  _exit(kCannotExec);
}

class LocalLaunch {
 public:
  ~LocalLaunch() {
    signalAll(SIGKILL);
    for (const pid_t rank : running()) waitpid(rank, nullptr, 0);
  }

  void start(int nranks, char* const argv[], const sigset_t& mask) {
    const LaunchBoard board = LaunchBoard::create();
    char program[4096] = {};
    if (readlink("/proc/self/exe", program, sizeof program - 1) <= 0) failErrno("/proc/self/exe cannot be read", errno);
    const pid_t launcher = getpid();
    for (int rank = 0; rank < nranks; ++rank) {
      std::vector<std::string> variables = rankEnvironment(rank, nranks, board);
      std::vector<char*> environment;
      for (std::string& variable : variables) environment.push_back(variable.data());
      environment.push_back(nullptr);
      const pid_t child = fork();
      if (child < 0) failErrno(strCat("rank ", rank, " of ", nranks, " cannot be started"), errno);
      if (child == 0) becomeRank(program, argv, environment.data(), launcher, mask);
      setpgid(child, child);  // here and in the child: whoever comes first
      ranks_.push_back(child);
    }
  }

  int watch(const SignalWait& signals) {
    while (!running().empty()) {
      const int signal = signals.next();
      if (signal != 0 && signal != SIGCHLD) signalAll(signal);
      reap();
      if (killAt_.has_value() && killAt_->passed()) {
        signalAll(SIGKILL);
        killAt_.reset();
      }
    }
    return exitCode_;
  }

 private:
  std::vector<pid_t> running() const {
    std::vector<pid_t> pids;
    for (const pid_t rank : ranks_) {
      if (rank > 0) pids.push_back(rank);
    }
    return pids;
  }

  // To the rank and to what it has started.
  void signalAll(int signal) const {
    for (const pid_t rank : running()) kill(-rank, signal);
  }

  // Of ranks that ended since the last look, one that a signal killed says why: the others may have ended because of that.
  void reap() {
    const bool stopping = exitCode_ != 0;
    std::size_t first = 0;
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      if (ranks_[i] <= 0) continue;
      siginfo_t ended{};
      if (waitid(P_PID, static_cast<id_t>(ranks_[i]), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) continue;
      kill(-ranks_[i], SIGKILL);  // its own children, if any are left; its number is not free for others before the next line
      waitpid(ranks_[i], nullptr, 0);
      ranks_[i] = 0;
      const int code = ended.si_code == CLD_EXITED ? ended.si_status : 128 + ended.si_status;
      const bool tells = exitCode_ == 0 ? code != 0 : exitCode_ < 128 && code > 128;
      if (stopping || !tells) continue;
      exitCode_ = code;
      first = i;
    }
    if (stopping || exitCode_ == 0) return;
    log(LogLevel::info, "rank ", first, " ended with ", exitCode_, "; stopping the others");
    signalAll(SIGTERM);
    killAt_ = Deadline::in(kGracePeriod);
  }

  std::vector<pid_t> ranks_;  // 0: has ended
  int exitCode_ = 0;
  std::optional<Deadline> killAt_;
};

}  // namespace

int launchLocal(int nranks, char* const argv[]) {
  if (nranks < 1 || nranks > kMaxLocalRanks)
    fail(qcclInvalidArgument, nranks, " ranks were asked for; the local launcher starts 1 to ", kMaxLocalRanks);
  if (argv == nullptr || argv[0] == nullptr)
    fail(qcclInvalidArgument, "the local launcher needs the program's arguments, beginning with its name");
  const SignalWait signals;
  LocalLaunch launch;
  launch.start(nranks, argv, signals.before());
  return launch.watch(signals);
}

}  // namespace qccl::transport
