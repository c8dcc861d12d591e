// Runs qccl-train as a user would, and a small data set to run it on.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/temporary_folder.hpp"

extern char** environ;

namespace qccl::train {

struct Ended {
  int code = -1;       // 128 + signal if it was killed
  std::string output;  // standard output and error together
};

class Program {
 public:
  // Output goes to a file in `folder`.
  Program(const test::TemporaryFolder& folder, const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {})
      : outputPath_(folder.path(".output-" + std::to_string(::getpid()) + "-" + std::to_string(count()++))) {
    std::vector<std::string> words = {QCCL_TRAIN_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
    variables.insert(variables.end(), environment.begin(), environment.end());
    std::vector<char*> envp;
    for (std::string& variable : variables) envp.push_back(variable.data());
    envp.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    const int error = ::posix_spawn(&pid_, QCCL_TRAIN_PROGRAM, &actions, nullptr, argv.data(), envp.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot start " QCCL_TRAIN_PROGRAM);
  }
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::string output() const { return test::readFile(outputPath_); }
  void send(int signal) const { ::kill(pid_, signal); }

  // True once the output holds `text`; false after `seconds`.
  bool waitFor(const std::string& text, int seconds) const {
    for (int i = 0; i < seconds * 50; ++i) {
      if (output().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  Ended wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), output()};
  }

 private:
  static int& count() {
    static int value = 0;
    return value;
  }
  std::string outputPath_;
  pid_t pid_ = -1;
};

inline Ended runProgram(const test::TemporaryFolder& folder, const std::vector<std::string>& arguments,
                        const std::vector<std::string>& environment = {}) {
  return Program(folder, arguments, environment).wait();
}

// Text with some structure: sentences of a small grammar, prepared once into data().
class ProgramTestData {
 public:
  ProgramTestData() {
    const std::vector<std::vector<const char*>> kSentence = {{"The", "A", "Every", "No"},
                                                             {"rank", "block", "bucket", "gradient", "token"},
                                                             {"waits for", "sends", "follows", "reads", "is"},
                                                             {"the ring.", "a peer.", "nothing.", "its scale.", "all others."}};
    unsigned state = 1;
    const auto pick = [&state](const std::vector<const char*>& words) {
      state = state * 1664525u + 1013904223u;
      return words[(state >> 16) % words.size()];
    };
    for (int file = 0; file < 60; ++file) {
      std::string text;
      for (int line = 0; line < 60; ++line) {
        for (const auto& words : kSentence) text += std::string(pick(words)) + " ";
        text.back() = '\n';
      }
      folder_.write("text/" + std::to_string(file) + ".txt", text);
    }
    const Ended ended = runProgram(folder_, {"prepare", "--out", data(), "--vocab", "400", "--val-fraction", "0.1", folder_.path("text")});
    if (ended.code != 0) throw std::runtime_error("prepare failed: " + ended.output);
  }
  const test::TemporaryFolder& folder() const { return folder_; }
  std::string data() const { return folder_.path("data"); }
  std::string path(const std::string& name) const { return folder_.path(name); }

 private:
  test::TemporaryFolder folder_;
};

}  // namespace qccl::train
