// Chooses the next token from logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace qccl::train {

struct SamplerOptions {
  double temperature = 1.0;  // 0: the most probable token, whatever the rest says
  std::int64_t topK = 0;     // keep the k most probable; 0: all
  double topP = 1.0;         // of these keep the smallest set whose probability is at least p
  std::uint64_t seed = 0;

  // Throws TrainError that names the field.
  void validate() const;
};

// The same seed and the same logits give the same tokens. Among equal logits the lower token comes first.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);

  // Logits must be finite; TrainError otherwise. One random number is used per call.
  std::int32_t next(std::span<const float> logits);

 private:
  SamplerOptions options_;
  std::uint64_t draws_ = 0;
  std::vector<std::int32_t> order_;
  std::vector<double> weights_;
};

}  // namespace qccl::train
