#include "app/run_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "model/error.hpp"

namespace qccl::train {

RunLog::RunLog(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) failTrain("cannot write the log ", path, ": ", std::strerror(errno));
  const off_t size = ::lseek(fd_, 0, SEEK_END);
  char last = '\n';
  if (size > 0 && ::pread(fd_, &last, 1, size - 1) == 1 && last != '\n') {
    const ssize_t written = ::write(fd_, "\n", 1);
    if (written != 1) failTrain("cannot write the log ", path, ": ", std::strerror(errno));
  }
}

RunLog::~RunLog() { ::close(fd_); }

void RunLog::append(const LogRecord& record) {
  // Bytes that are no UTF-8 (a folder's name) become U+FFFD; NaN becomes null.
  const std::string line = record.dump(-1, ' ', false, LogRecord::error_handler_t::replace) + "\n";
  const ssize_t written = ::write(fd_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    failTrain("cannot write the log ", path_, ": ", written < 0 ? std::strerror(errno) : "there is no room for a whole line");
  }
}

}  // namespace qccl::train
