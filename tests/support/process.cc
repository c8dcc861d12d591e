#include "support/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

extern char** environ;

namespace qccl::test {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
  }
  ~Pipe() {
    closeEnd(0);
    closeEnd(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void closeEnd(std::size_t end) {
    if (ends[end] >= 0) close(ends[end]);
    ends[end] = -1;
  }
};

std::vector<std::string> mergedEnvironment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!added.contains(std::string(*entry, std::strcspn(*entry, "=")))) merged.emplace_back(*entry);
  }
  for (const auto& [name, value] : added) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

// Appends what `fd` has; false at its end.
bool drain(int fd, std::string* text) {
  std::array<char, 65536> buffer;
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  if (got > 0) text->append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0 || (got < 0 && errno == EINTR);
}

}  // namespace

ProcessResult runProcess(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment,
                         std::chrono::seconds limit) {
  std::vector<std::string> argumentCopies = arguments;
  std::vector<std::string> environmentCopies = mergedEnvironment(environment);
  std::vector<char*> argv = pointers(argumentCopies);
  std::vector<char*> envp = pointers(environmentCopies);
  Pipe out;
  Pipe err;

  const pid_t child = fork();
  if (child < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  if (child == 0) {
    setpgid(0, 0);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(out.ends[1], STDOUT_FILENO);
    dup2(err.ends[1], STDERR_FILENO);
    execvpe(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  setpgid(child, child);
  out.closeEnd(1);
  err.closeEnd(1);

  ProcessResult result;
  const Clock::time_point end = Clock::now() + limit;
  int status = 0;
  bool exited = false;
  bool outOpen = true;
  bool errOpen = true;
  while (!exited || outOpen || errOpen) {
    if (!exited && waitpid(child, &status, WNOHANG) == child) {
      exited = true;
      kill(-child, SIGKILL);  // whatever it left running; then both pipes end
    }
    if (!exited && Clock::now() >= end) {
      result.timedOut = true;
      kill(-child, SIGKILL);
      waitpid(child, &status, 0);
      exited = true;
    }
    std::array<pollfd, 2> fds{{{outOpen ? out.ends[0] : -1, POLLIN, 0}, {errOpen ? err.ends[0] : -1, POLLIN, 0}}};
    poll(fds.data(), fds.size(), 20);
    if (fds[0].revents != 0) outOpen = drain(out.ends[0], &result.out);
    if (fds[1].revents != 0) errOpen = drain(err.ends[0], &result.err);
    if (exited && Clock::now() >= end + std::chrono::seconds(5)) break;  // somebody outside the group holds the pipes
  }
  result.exitCode = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (result.exitCode == 127) throw std::runtime_error("cannot run " + arguments[0] + ": is it installed?");
  return result;
}

}  // namespace qccl::test
