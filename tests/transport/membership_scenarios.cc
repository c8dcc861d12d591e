// Coming and going: joining, leaving, giving up, and several communicators at once.
#include <thread>

#include "core/backoff.hpp"
#include "scenarios.hpp"

namespace qccl::test {

using transport::Membership;
using transport::Tag;

namespace {

void joinAndLeave(const Join& join) {
  const Membership member = join();
  const std::vector<std::string> all = member.control->allGather(std::to_string(member.control->rank()), patience());
  require(all.size() == static_cast<std::size_t>(member.control->size()), "allGather returned ", all.size(), " contributions");
  for (std::size_t i = 0; i < all.size(); ++i) require(all[i] == std::to_string(i), "contribution ", i, " is ", all[i]);
  leave(member);
}

// A receive that is given up does not take the message, and its buffer is left alone.
void cancelReceive(const Join& join) {
  const Membership member = join();
  const int me = member.control->rank();
  for (const std::size_t bytes : {std::size_t{64}, std::size_t{200000}}) {
    if (me == 1) {
      Bytes abandoned(bytes, 0x55);
      member.transport->recv(0, bytes, abandoned.data(), bytes).reset();
      barrier(member);
      Bytes buffer(bytes);
      finish(member, *member.transport->recv(0, bytes, buffer.data(), bytes));
      requireMessage(buffer, 0, 1, bytes);
      require(abandoned == Bytes(bytes, 0x55), "a cancelled receive's buffer was written");
    } else {
      barrier(member);
      const Bytes message = pattern(0, 1, bytes, bytes);
      if (me == 0) finish(member, *member.transport->send(1, bytes, message.data(), bytes));
    }
  }
  leave(member);
}

// A send that nobody has received is given up: the buffer may go at once. The communicator is over then.
void cancelSend(const Join& join) {
  const Membership member = join();
  if (member.control->rank() == 0) {
    for (const std::size_t bytes : {std::size_t{64}, std::size_t{20} << 20}) {
      auto buffer = std::make_unique<Bytes>(bytes, 3);
      auto request = member.transport->send(1, bytes, buffer->data(), bytes);
      static_cast<void>(request->poll());
      request.reset();
      buffer.reset();
    }
    member.control->fail({qcclInvalidUsage, 0, "rank 0 has given up"});
  }
  const Deadline deadline = patience();
  while (!member.control->failed() && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  require(member.control->failure().what == "rank 0 has given up", "the failure did not arrive: ", member.control->failure().what);
}

// What a rank has sent and flushed arrives although that rank has left meanwhile.
void flushAndLeave(const Join& join) {
  const Membership member = join();
  const int me = member.control->rank();
  if (me == 0) {
    for (const int peer : others(member)) {
      for (const std::size_t bytes : {std::size_t{0}, std::size_t{50}, std::size_t{3000}}) {
        const Bytes message = pattern(0, peer, bytes, bytes);
        finish(member, *member.transport->send(peer, bytes, message.data(), bytes));
      }
    }
    member.transport->flush();
  } else {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // rank 0 is likely to wait in leave() by now
    for (const std::size_t bytes : {std::size_t{3000}, std::size_t{50}, std::size_t{0}}) {
      Bytes buffer(bytes);
      finish(member, *member.transport->recv(0, bytes, buffer.data(), bytes));
      requireMessage(buffer, 0, me, bytes);
    }
    member.transport->flush();
  }
  member.control->leave(patience());
  require(!member.control->failed(), "leaving counts as a failure: ", member.control->failure().what);
}

// A rank that has its messages and then does something else holds nobody up: neither sends of others to it nor their flush.
void idleRankHoldsNobodyUp(const Join& join) {
  const Membership member = join();
  const int me = member.control->rank();
  constexpr Tag kTags = 200;
  constexpr std::size_t kBytes = 20000;
  std::vector<Bytes> buffers;
  Requests requests;
  for (Tag tag = 0; me < 2 && tag < kTags; ++tag) {
    buffers.push_back(me == 0 ? pattern(0, 1, tag, kBytes) : Bytes(kBytes));
    Bytes& buffer = buffers.back();
    requests.push_back(me == 0 ? member.transport->send(1, tag, buffer.data(), kBytes)
                               : member.transport->recv(0, tag, buffer.data(), kBytes));
  }
  finishAll(member, requests);
  for (Tag tag = 0; me == 1 && tag < kTags; ++tag) requireMessage(buffers[tag], 0, 1, tag);
  barrier(member);  // rank 1 waits here until rank 0's sends have ended, without touching its transport
  if (me == 0) member.transport->flush();
  barrier(member);
  leave(member);
}

// Two communicators between the same ranks, with the same tags, at the same time; the second outlives the first.
void severalCommunicators(const Join& join) {
  Membership first = join();
  const Membership second = join();
  const int me = first.control->rank();
  constexpr std::size_t kBytes = 30000;
  std::vector<Bytes> buffers;
  Requests firstRequests;
  Requests secondRequests;
  for (const int peer : others(first)) {
    const auto start = [&](const Membership& member, Requests& requests, Tag salt) {
      buffers.push_back(pattern(me, peer, salt, kBytes));
      requests.push_back(member.transport->send(peer, 7, buffers.back().data(), kBytes));
    };
    start(first, firstRequests, 1);
    start(second, secondRequests, 2);
  }
  std::vector<Bytes> incoming;
  for (const int peer : others(first)) {
    incoming.emplace_back(kBytes);
    secondRequests.push_back(second.transport->recv(peer, 7, incoming.back().data(), kBytes));
    incoming.emplace_back(kBytes);
    firstRequests.push_back(first.transport->recv(peer, 7, incoming.back().data(), kBytes));
  }
  // Each communicator makes progress by its own requests only, so drive both.
  const Deadline deadline = patience();
  for (Backoff backoff;; backoff.pause()) {
    bool done = true;
    for (const auto& request : firstRequests) done = request->poll() && done;
    for (const auto& request : secondRequests) done = request->poll() && done;
    if (done) break;
    first.control->throwIfFailed();
    second.control->throwIfFailed();
    require(!deadline.passed(), "two communicators at once did not finish");
  }
  auto message = incoming.begin();
  for (const int peer : others(first)) {
    requireMessage(*message++, peer, me, 2);
    requireMessage(*message++, peer, me, 1);
  }
  firstRequests.clear();
  leave(first);
  first = {};
  exchange(second, 8, 100000);
  secondRequests.clear();
  leave(second);
}

}  // namespace

std::vector<Scenario> membershipScenarios() {
  return {
      {"JoinAndLeave", joinAndLeave},
      {"CancelReceive", cancelReceive},
      {"CancelSend", cancelSend},
      {"FlushAndLeave", flushAndLeave},
      {"IdleRankHoldsNobodyUp", idleRankHoldsNobodyUp},
      {"SeveralCommunicators", severalCommunicators},
  };
}

}  // namespace qccl::test
