// A thread that takes no signals: the program's own threads keep theirs.
#pragma once

#include <pthread.h>

#include <csignal>
#include <thread>
#include <utility>

namespace qccl::transport {

template <typename Body>
std::thread startBackgroundThread(Body&& body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread thread(std::forward<Body>(body));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return thread;
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
}

}  // namespace qccl::transport
