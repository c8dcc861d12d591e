#include "conformance.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "core/backoff.hpp"
#include "core/error.hpp"

namespace qccl::test {

using transport::Membership;
using transport::Request;
using transport::Tag;

namespace {

using Requests = std::vector<std::unique_ptr<Request>>;
using Bytes = std::vector<unsigned char>;

constexpr std::chrono::seconds kPatience{60};

Deadline patience() { return Deadline::in(kPatience); }

template <typename... Words>
void require(bool condition, const Words&... words) {
  if (!condition) throw std::runtime_error(strCat(words...));
}

// Bytes that depend on sender, receiver and tag, so that a message in the wrong place shows.
Bytes pattern(int from, int to, Tag tag, std::size_t bytes) {
  Bytes data(bytes);
  std::uint64_t state = (static_cast<std::uint64_t>(from) << 40) ^ (static_cast<std::uint64_t>(to) << 20) ^ tag ^ 0x9e3779b97f4a7c15u;
  for (std::size_t i = 0; i < bytes; ++i) {
    if (i % 8 == 0) state = state * 6364136223846793005u + 1442695040888963407u;
    data[i] = static_cast<unsigned char>(state >> (8 * (i % 8)));
  }
  return data;
}

void requireMessage(const Bytes& got, int from, int to, Tag tag) {
  require(got == pattern(from, to, tag, got.size()), "the ", got.size(), " bytes from rank ", from, " to rank ", to, " with tag ", tag,
          " are not what was sent");
}

std::vector<int> others(const Membership& member) {
  std::vector<int> ranks;
  for (int rank = 0; rank < member.control->size(); ++rank) {
    if (rank != member.control->rank()) ranks.push_back(rank);
  }
  return ranks;
}

// Every rank sends a message to every other.
void exchange(const Membership& member, Tag tag, std::size_t bytes) {
  const int me = member.control->rank();
  std::vector<Bytes> outgoing;
  std::vector<Bytes> incoming;
  Requests requests;
  for (const int peer : others(member)) {
    outgoing.push_back(pattern(me, peer, tag, bytes));
    incoming.emplace_back(bytes, static_cast<unsigned char>(0xee));
    requests.push_back(member.transport->recv(peer, tag, incoming.back().data(), bytes));
    requests.push_back(member.transport->send(peer, tag, outgoing.back().data(), bytes));
  }
  finishAll(member, requests);
  const std::vector<int> peers = others(member);
  for (std::size_t i = 0; i < peers.size(); ++i) requireMessage(incoming[i], peers[i], me, tag);
}

void joinAndLeave(const Join& join) {
  const Membership member = join();
  const std::vector<std::string> all = member.control->allGather(std::to_string(member.control->rank()), patience());
  require(all.size() == static_cast<std::size_t>(member.control->size()), "allGather returned ", all.size(), " contributions");
  for (std::size_t i = 0; i < all.size(); ++i) require(all[i] == std::to_string(i), "contribution ", i, " is ", all[i]);
  leave(member);
}

void allSizes(const Join& join) {
  const Membership member = join();
  Tag tag = 1;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{63}, std::size_t{1000}, std::size_t{8191},
                                  std::size_t{8192}, std::size_t{8193}, std::size_t{65537}, std::size_t{300001}, std::size_t{1} << 20}) {
    exchange(member, tag++, bytes);
  }
  leave(member);
}

void largeMessage(const Join& join) {
  const Membership member = join();
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const int me = member.control->rank();
  // From rank 0 to the last rank and back: the others only wait.
  const int last = member.control->size() - 1;
  if (me == 0 || me == last) {
    const int peer = me == 0 ? last : 0;
    const Bytes outgoing = pattern(me, peer, 5, kBytes);
    Bytes incoming(kBytes);
    Requests requests;
    requests.push_back(member.transport->send(peer, 5, outgoing.data(), kBytes));
    requests.push_back(member.transport->recv(peer, 5, incoming.data(), kBytes));
    finishAll(member, requests);
    requireMessage(incoming, peer, me, 5);
  }
  leave(member);
}

// Receives are posted, and so matched, in another order than the sends.
void manyTagsOvertaking(const Join& join) {
  const Membership member = join();
  constexpr Tag kTags = 150;
  const int me = member.control->rank();
  const auto bytesOf = [](Tag tag) { return static_cast<std::size_t>(tag % 3 == 0 ? 17 * tag : tag % 3 == 1 ? 9000 + tag : tag); };
  // The highest bits of a tag count as well.
  const auto wire = [](Tag tag) { return tag << (transport::kTagBits - 8) | 3; };
  std::vector<Bytes> outgoing;
  std::vector<Bytes> incoming;
  Requests requests;
  for (const int peer : others(member)) {
    for (Tag tag = 0; tag < kTags; ++tag) {
      outgoing.push_back(pattern(me, peer, tag, bytesOf(tag)));
      requests.push_back(member.transport->send(peer, wire(tag), outgoing.back().data(), outgoing.back().size()));
    }
  }
  for (const int peer : others(member)) {
    for (Tag tag = kTags; tag-- > 0;) {
      incoming.emplace_back(bytesOf(tag));
      requests.push_back(member.transport->recv(peer, wire(tag), incoming.back().data(), incoming.back().size()));
    }
  }
  finishAll(member, requests);
  auto message = incoming.begin();
  for (const int peer : others(member)) {
    for (Tag tag = kTags; tag-- > 0;) requireMessage(*message++, peer, me, tag);
  }
  leave(member);
}

// The same tag again and again, in order, as a collective's steps do.
void sameTagInSequence(const Join& join) {
  const Membership member = join();
  for (int i = 0; i < 50; ++i) exchange(member, 9, static_cast<std::size_t>(i) * 977);
  leave(member);
}

void sendBeforeReceive(const Join& join) {
  const Membership member = join();
  const int me = member.control->rank();
  for (const std::size_t bytes : {std::size_t{100}, std::size_t{8192}, std::size_t{500000}}) {
    std::vector<Bytes> outgoing;
    Requests sends;
    for (const int peer : others(member)) {
      outgoing.push_back(pattern(me, peer, bytes, bytes));
      sends.push_back(member.transport->send(peer, bytes, outgoing.back().data(), bytes));
    }
    barrier(member);
    Requests receives;
    std::vector<Bytes> incoming;
    for (const int peer : others(member)) {
      incoming.emplace_back(bytes);
      receives.push_back(member.transport->recv(peer, bytes, incoming.back().data(), bytes));
    }
    for (auto& send : sends) receives.push_back(std::move(send));
    finishAll(member, receives);
    const std::vector<int> peers = others(member);
    for (std::size_t i = 0; i < peers.size(); ++i) requireMessage(incoming[i], peers[i], me, bytes);
  }
  leave(member);
}

void receiveBeforeSend(const Join& join) {
  const Membership member = join();
  const int me = member.control->rank();
  for (const std::size_t bytes : {std::size_t{100}, std::size_t{8192}, std::size_t{500000}}) {
    Requests requests;
    std::vector<Bytes> incoming;
    for (const int peer : others(member)) {
      incoming.emplace_back(bytes);
      requests.push_back(member.transport->recv(peer, bytes, incoming.back().data(), bytes));
    }
    for (const auto& request : requests) require(!request->poll(), "a receive is done before its message was sent");
    barrier(member);
    std::vector<Bytes> outgoing;
    for (const int peer : others(member)) {
      outgoing.push_back(pattern(me, peer, bytes, bytes));
      requests.push_back(member.transport->send(peer, bytes, outgoing.back().data(), bytes));
    }
    finishAll(member, requests);
    const std::vector<int> peers = others(member);
    for (std::size_t i = 0; i < peers.size(); ++i) requireMessage(incoming[i], peers[i], me, bytes);
    barrier(member);
  }
  leave(member);
}

void allToAllAtOnce(const Join& join) {
  const Membership member = join();
  for (Tag tag = 0; tag < 4; ++tag) exchange(member, tag, 400000);
  leave(member);
}

// Both sizes are named, the sender is done, and other messages still get through.
void sizeMismatch(const Join& join) {
  const Membership member = join();
  const int me = member.control->rank();
  struct Case {
    std::size_t sent, expected;
    bool receiveFirst;
  };
  Tag tag = 100;
  for (const Case& each :
       {Case{10, 4, true}, Case{10, 4, false}, Case{4, 10, true}, Case{4, 10, false}, Case{300000, 1000, true}, Case{300000, 1000, false},
        Case{1000, 300000, true}, Case{1000, 300000, false}, Case{0, 8, true}, Case{8, 0, false}}) {
    ++tag;
    Bytes buffer(std::max(each.sent, each.expected), 1);
    std::unique_ptr<Request> request;
    if (me == 1 && each.receiveFirst) request = member.transport->recv(0, tag, buffer.data(), each.expected);
    barrier(member);
    if (me == 0) request = member.transport->send(1, tag, buffer.data(), each.sent);
    if (me == 0) finish(member, *request);
    if (me == 1 && !each.receiveFirst) request = member.transport->recv(0, tag, buffer.data(), each.expected);
    if (me == 1) {
      try {
        finish(member, *request);
        throw std::runtime_error(strCat("no error for ", each.sent, " bytes into ", each.expected));
      } catch (const Error& error) {
        require(error.code() == qcclInvalidUsage, "wrong code for a size mismatch: ", error.what());
        const std::string text = error.what();
        require(text.find(strCat(each.sent, " bytes")) != std::string::npos &&
                    text.find(strCat(each.expected, " were expected")) != std::string::npos,
                "the sentence does not name both sizes: ", text);
      }
    }
    barrier(member);
  }
  exchange(member, 1, 5000);
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

const std::vector<Scenario>& conformanceScenarios() {
  static const std::vector<Scenario> scenarios = {
      {"JoinAndLeave", joinAndLeave},
      {"AllSizes", allSizes},
      {"LargeMessage", largeMessage},
      {"ManyTagsOvertaking", manyTagsOvertaking},
      {"SameTagInSequence", sameTagInSequence},
      {"SendBeforeReceive", sendBeforeReceive},
      {"ReceiveBeforeSend", receiveBeforeSend},
      {"AllToAllAtOnce", allToAllAtOnce},
      {"SizeMismatch", sizeMismatch},
      {"CancelReceive", cancelReceive},
      {"CancelSend", cancelSend},
      {"FlushAndLeave", flushAndLeave},
      {"IdleRankHoldsNobodyUp", idleRankHoldsNobodyUp},
      {"SeveralCommunicators", severalCommunicators},
  };
  return scenarios;
}

const Scenario* findScenario(const std::string& name) {
  for (const Scenario& scenario : conformanceScenarios()) {
    if (name == scenario.name) return &scenario;
  }
  return nullptr;
}

void finish(const Membership& member, Request& request, std::chrono::milliseconds limit) {
  const Deadline deadline = Deadline::in(limit);
  for (Backoff backoff; !request.poll(); backoff.pause()) {
    member.control->throwIfFailed();
    require(!deadline.passed(), "a request was not done after ", limit.count(), " ms");
  }
  require(request.poll(), "a finished request is not finished any more");
}

void finishAll(const Membership& member, const std::vector<std::unique_ptr<Request>>& requests) {
  const Deadline deadline = patience();
  for (Backoff backoff;; backoff.pause()) {
    bool done = true;
    for (const auto& request : requests) done = request->poll() && done;
    if (done) return;
    member.control->throwIfFailed();
    require(!deadline.passed(), "requests were not done after ", kPatience.count(), " s");
  }
}

void leave(const Membership& member) {
  member.transport->flush();
  member.control->leave(patience());
}

void barrier(const Membership& member) { member.control->allGather("", patience()); }

}  // namespace qccl::test
