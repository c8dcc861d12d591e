#include "app/gradient_capture.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "io/safetensors.hpp"
#include "model/error.hpp"

namespace qccl::train {

std::set<std::int64_t> parseCaptureSteps(const std::string& text) {
  std::set<std::int64_t> steps;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    std::int64_t step = 0;
    const char* end = part.data() + part.size();
    const auto [stopped, error] = std::from_chars(part.data(), end, step);
    if (error != std::errc() || stopped != end || step < 1) {
      failTrain("--save-gradients ", text, ": \"", part, "\" is not a step; give numbers from 1 on with commas between them");
    }
    steps.insert(step);
  }
  return steps;
}

GradientCapture::GradientCapture(const std::string& steps, std::string folder, const Parameters& parameters)
    : steps_(parseCaptureSteps(steps)),
      folder_(std::move(folder)),
      parameters_(parameters),
      taken_(steps_.empty() ? 0 : parameters.arenaElems()) {}

void GradientCapture::take(const Parameter& parameter) {
  const std::span<const float> gradient = parameters_.gradient(parameter);
  std::copy(gradient.begin(), gradient.end(), taken_.begin() + static_cast<std::ptrdiff_t>(parameter.offsetElems));
}

void GradientCapture::write(std::int64_t step, int rank, int ranks) const {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) failTrain("cannot make the folder ", folder_, ": ", error.message());
  std::vector<TensorSource> tensors;
  for (const Parameter& parameter : parameters_.list()) {
    tensors.push_back({parameter.name, parameter.shape, std::span(taken_).subspan(parameter.offsetElems, parameter.elems)});
  }
  char name[64];
  std::snprintf(name, sizeof(name), "/step-%08lld-rank-%04d.safetensors", static_cast<long long>(step), rank);
  writeSafetensors(folder_ + name, tensors,
                   {{"step", std::to_string(step)}, {"rank", std::to_string(rank)}, {"ranks", std::to_string(ranks)}});
}

}  // namespace qccl::train
