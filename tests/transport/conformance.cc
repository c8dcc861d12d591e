#include "conformance.hpp"

#include "core/backoff.hpp"
#include "scenarios.hpp"

namespace qccl::test {

using transport::Membership;
using transport::Request;
using transport::Tag;

namespace {

constexpr std::chrono::seconds kPatience{60};

}  // namespace

Deadline patience() { return Deadline::in(kPatience); }

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

const std::vector<Scenario>& conformanceScenarios() {
  static const std::vector<Scenario> scenarios = [] {
    std::vector<Scenario> all = messageScenarios();
    for (const Scenario& scenario : membershipScenarios()) all.push_back(scenario);
    return all;
  }();
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
