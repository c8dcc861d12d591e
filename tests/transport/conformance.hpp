// What every transport must do, as scenarios that one rank runs. The same scenarios run with ranks as threads and with ranks as processes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "transport/membership.hpp"

namespace qccl::test {

// Joins the next communicator of the run: the n-th call of every rank leads to the same one.
using Join = std::function<transport::Membership()>;

struct Scenario {
  const char* name;
  void (*run)(const Join& join);  // throws when something is not as it must be
};

const std::vector<Scenario>& conformanceScenarios();

// nullptr if there is none.
const Scenario* findScenario(const std::string& name);

// Polls until done. Throws what poll() throws, the communicator's failure, or a std::runtime_error after `limit`.
void finish(const transport::Membership& member, transport::Request& request, std::chrono::milliseconds limit = std::chrono::seconds(60));

// All of them, side by side.
void finishAll(const transport::Membership& member, const std::vector<std::unique_ptr<transport::Request>>& requests);

// The clean end.
void leave(const transport::Membership& member);

void barrier(const transport::Membership& member);

}  // namespace qccl::test
