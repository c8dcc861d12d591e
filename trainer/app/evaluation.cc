#include "app/evaluation.hpp"

#include <algorithm>
#include <cmath>

#include "data/loader.hpp"
#include "model/error.hpp"

namespace qccl::train {

EvaluationResult evaluate(Llama& model, const TokenFile& file, const EvaluationOptions& options, Group& group) {
  const auto seq = static_cast<std::size_t>(options.seq);
  const auto sequences = static_cast<std::uint64_t>(options.batch);
  std::uint64_t windows = windowCount(file, seq);
  if (windows == 0) {
    failTrain(file.path(), " has ", file.info().tokens, " tokens, too few for one sequence of ", options.seq,
              "; prepare the data with a larger --val-fraction or take a smaller --seq");
  }
  if (options.batches > 0) windows = std::min(windows, static_cast<std::uint64_t>(options.batches) * sequences);

  double sums[2] = {0, 0};  // loss over tokens, tokens
  Batch batch;
  const auto worldSize = static_cast<std::uint64_t>(group.size());
  for (std::uint64_t first = static_cast<std::uint64_t>(group.rank()) * sequences; first < windows; first += worldSize * sequences) {
    const std::size_t rows = readWindows(file, seq, first, static_cast<std::size_t>(std::min(sequences, windows - first)), batch);
    const float loss = model.forward(batch.inputs, batch.targets, static_cast<std::int64_t>(rows), options.seq);
    const auto tokens = static_cast<double>(rows * seq);
    sums[0] += static_cast<double>(loss) * tokens;
    sums[1] += tokens;
  }
  group.sum(sums);

  EvaluationResult result;
  result.loss = sums[0] / sums[1];
  result.tokens = static_cast<std::uint64_t>(sums[1]);
  const double tokensPerByte =
      static_cast<double>(file.info().tokens) / static_cast<double>(std::max<std::uint64_t>(file.info().textBytes, 1));
  result.bitsPerByte = result.loss / std::log(2.0) * tokensPerByte;
  return result;
}

}  // namespace qccl::train
