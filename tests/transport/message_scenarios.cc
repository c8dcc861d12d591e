// Messages: of every size, in any order, with any tag.
#include <algorithm>
#include <string>

#include "scenarios.hpp"

namespace qccl::test {

using transport::Membership;
using transport::Request;
using transport::Tag;

namespace {

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

}  // namespace

std::vector<Scenario> messageScenarios() {
  return {
      {"AllSizes", allSizes},
      {"LargeMessage", largeMessage},
      {"ManyTagsOvertaking", manyTagsOvertaking},
      {"SameTagInSequence", sameTagInSequence},
      {"SendBeforeReceive", sendBeforeReceive},
      {"ReceiveBeforeSend", receiveBeforeSend},
      {"AllToAllAtOnce", allToAllAtOnce},
      {"SizeMismatch", sizeMismatch},
  };
}

}  // namespace qccl::test
