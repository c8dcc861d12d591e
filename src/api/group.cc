#include "api/group.hpp"

#include <exception>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace qccl::api {
namespace {

// What one communicator has to do in a group: its sends and receives together, then its collectives in order.
struct Work {
  CommunicatorPtr comm;
  std::vector<collectives::PointToPoint> pointToPoint;
  std::vector<collectives::Call> calls;

  void run() const {
    if (!pointToPoint.empty()) comm->runPointToPoint(pointToPoint);
    for (const collectives::Call& call : calls) comm->run(call);
  }
};

struct Group {
  int depth = 0;
  std::optional<Error> refused;
  std::vector<std::function<void()>> tasks;
  std::vector<Work> work;  // by communicator, in order of first use

  Work& workOf(const CommunicatorPtr& comm) {
    for (Work& item : work) {
      if (item.comm == comm) return item;
    }
    work.push_back({comm, {}, {}});
    return work.back();
  }
};

Group& group() {
  thread_local Group instance;
  return instance;
}

// Runs all bodies at the same time, one on this thread, and throws the first error by index after all have ended.
void runSideBySide(const std::vector<std::function<void()>>& bodies) {
  std::vector<std::exception_ptr> errors(bodies.size());
  const auto run = [&](std::size_t i) {
    try {
      bodies[i]();
    } catch (...) {
      errors[i] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  try {
    for (std::size_t i = 1; i < bodies.size(); ++i) threads.emplace_back(run, i);
  } catch (const std::exception& error) {
    // No more threads. The bodies that did not start fail here; those that run end by their timeouts.
    for (std::size_t i = threads.size() + 1; i < bodies.size(); ++i) {
      errors[i] = std::make_exception_ptr(Error(qcclSystemError, strCat("cannot start a thread for a rank of the group: ", error.what())));
    }
  }
  if (!bodies.empty()) run(0);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace

bool insideGroup() { return group().depth > 0; }

void groupStart() { ++group().depth; }

void groupEnd() {
  Group& g = group();
  if (g.depth == 0) fail(qcclInvalidUsage, "qcclGroupEnd without qcclGroupStart on this thread");
  if (--g.depth > 0) return;
  // Taken out first: whatever happens below, the next group starts empty.
  const Group ended = std::exchange(g, Group{});
  if (ended.refused) throw Error(*ended.refused);
  runSideBySide(ended.tasks);
  std::vector<std::function<void()>> bodies;
  for (const Work& item : ended.work) bodies.push_back([&item] { item.run(); });
  runSideBySide(bodies);
}

void latchGroupError(const Error& error) {
  Group& g = group();
  if (g.depth > 0 && !g.refused) g.refused = error;
}

void submit(const CommunicatorPtr& comm, const collectives::Call& call) {
  if (insideGroup()) {
    group().workOf(comm).calls.push_back(call);
  } else {
    comm->run(call);
  }
}

void submit(const CommunicatorPtr& comm, const collectives::PointToPoint& operation) {
  if (insideGroup()) {
    group().workOf(comm).pointToPoint.push_back(operation);
  } else {
    comm->runPointToPoint({&operation, 1});
  }
}

void submitTask(std::function<void()> task) {
  if (insideGroup()) {
    group().tasks.push_back(std::move(task));
  } else {
    task();
  }
}

}  // namespace qccl::api
