#include "app/gnuplot.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "model/error.hpp"

extern char** environ;

namespace qccl::train {

namespace {

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) failTrain("cannot make a pipe: ", std::strerror(errno));
    read = ends[0];
    write = ends[1];
  }
  ~Pipe() {
    close(read);
    close(write);
  }
  static void close(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

// Writes all of `script` while reading what gnuplot says, so that neither side can block the other. gnuplot's standard error ends when it
// does.
std::string converse(Pipe& input, Pipe& output, const std::string& script) {
  std::string said;
  std::size_t sent = 0;
  ::fcntl(input.write, F_SETFL, O_NONBLOCK);
  while (output.read >= 0) {
    pollfd waits[2] = {{output.read, POLLIN, 0}, {input.write, POLLOUT, 0}};  // an fd of -1 is left out
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) break;
    if (waits[0].revents != 0) {
      char buffer[4096];
      const ssize_t got = ::read(output.read, buffer, sizeof(buffer));
      if (got > 0) said.append(buffer, static_cast<std::size_t>(got));
      if (got == 0) Pipe::close(output.read);
    }
    if (waits[1].revents != 0) {
      const ssize_t put = ::write(input.write, script.data() + sent, script.size() - sent);
      if (put > 0) sent += static_cast<std::size_t>(put);
      if (sent == script.size() || (put < 0 && errno != EAGAIN && errno != EINTR)) Pipe::close(input.write);
    }
  }
  return said;
}

}  // namespace

void runGnuplot(const std::string& script) {
  Pipe input, output;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input.read, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output.write, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output.write, STDERR_FILENO);
  char program[] = "gnuplot";
  char* const argv[] = {program, nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, program, &actions, nullptr, argv, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) failTrain("gnuplot was not found; install it (Debian and Ubuntu: apt install gnuplot-nox)");
  if (error != 0) failTrain("cannot start gnuplot: ", std::strerror(error));
  Pipe::close(input.read);
  Pipe::close(output.write);
  // A gnuplot that ends early must not end us.
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  std::string said = converse(input, output, script);
  ::sigaction(SIGPIPE, &before, nullptr);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    while (!said.empty() && (said.back() == '\n' || said.back() == ' ')) said.pop_back();
    failTrain("gnuplot failed: ", said.empty() ? "it said nothing" : said);
  }
}

std::string gnuplotQuoted(const std::string& text) {
  // Between single quotes only the quote itself has a meaning; it is doubled.
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? ' ' : c;
  }
  return quoted + "'";
}

}  // namespace qccl::train
