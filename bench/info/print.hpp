// The pages of qccl-info.
#pragma once

#include <string>
#include <vector>

#include "info/library_facts.hpp"

namespace qccl::bench {

std::string aboutPage(const LibraryFacts& facts);
std::string settingsPage(const std::vector<Setting>& settings);
std::string algorithmsPage(const std::vector<AlgorithmRow>& algorithms);

// docs/config.md: depends on the table only, not on the environment.
std::string settingsMarkdown(const std::vector<Setting>& settings);

// Everything, as one JSON object.
std::string jsonPage(const LibraryFacts& facts);

}  // namespace qccl::bench
