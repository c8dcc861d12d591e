// The transports' conformance scenarios by topic, and the steps that they share.
#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <vector>

#include "conformance.hpp"
#include "core/deadline.hpp"
#include "core/error.hpp"

namespace qccl::test {

using Requests = std::vector<std::unique_ptr<transport::Request>>;
using Bytes = std::vector<unsigned char>;

std::vector<Scenario> messageScenarios();
std::vector<Scenario> membershipScenarios();

template <typename... Words>
void require(bool condition, const Words&... words) {
  if (!condition) throw std::runtime_error(strCat(words...));
}

// What a scenario waits for anything.
Deadline patience();

// Bytes that depend on sender, receiver and tag, so that a message in the wrong place shows.
Bytes pattern(int from, int to, transport::Tag tag, std::size_t bytes);

// Throws unless `got` is that pattern.
void requireMessage(const Bytes& got, int from, int to, transport::Tag tag);

// All ranks but the member's own.
std::vector<int> others(const transport::Membership& member);

// Every rank sends a message to every other.
void exchange(const transport::Membership& member, transport::Tag tag, std::size_t bytes);

}  // namespace qccl::test
