#include "app/stop_request.hpp"

#include <csignal>

namespace qccl::train {

namespace {

volatile std::sig_atomic_t requested = 0;

void request(int signal) {
  requested = signal;
  std::signal(signal, SIG_DFL);
}

}  // namespace

void catchStopSignals() {
  struct sigaction action {};
  action.sa_handler = request;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

int stopRequested() { return requested; }

}  // namespace qccl::train
