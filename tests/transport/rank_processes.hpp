// Ranks as processes: the program transport_rank, once a rank.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "support/process.hpp"

namespace qccl::test {

// Runs `transport_rank run <scenario> <rank> <size> <id>...` for every rank at the same time and waits for all. prefix(rank) goes before
// the command ("ip netns exec
// ..."); empty: nothing.
std::vector<ProcessResult> runRankProcesses(const std::string& scenario, int size, const std::vector<std::string>& ids,
                                            const std::map<std::string, std::string>& environment = {},
                                            const std::vector<std::vector<std::string>>& prefixes = {});

// The lines of a rank's output that begin with `key`, without it: "error 6 rank 1 is gone" -> "6 rank 1 is gone".
std::vector<std::string> linesOf(const ProcessResult& result, const std::string& key);

// What the processes of the run (by their "pid" lines) have left in /dev/shm or as System V segments, waiting a little for the kernel to
// clean up. "" is right.
std::string leftBehind(const std::vector<ProcessResult>& results);

// Everything a result says, for failure messages.
std::string describe(const std::vector<ProcessResult>& results);

}  // namespace qccl::test
