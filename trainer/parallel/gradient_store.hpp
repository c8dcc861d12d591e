// Where the gradients of a step are kept until the optimizer has used them.
//
// In FP32 they stay in the gradient arena, where backward adds up the micro-batches of a step, and there is nothing to do. A packed store
// has a packed buffer for each bucket of matrices instead: when the last gradient of a bucket is final in a micro-batch, the bucket is
// added to its buffer and its part of the arena is given back to the system. So the FP32 memory in use is about that of one bucket; with a
// tied embedding, whose gradient is open from the beginning of backward to its end, that as well. Vectors stay in FP32.
#pragma once

#include <qccl/packed.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "parallel/bucket_layout.hpp"

namespace qccl::train {

struct StoreOptions {
  std::optional<qcclPackedFormat_t> format = std::nullopt;  // none: FP32
  qcclRounding_t rounding = qcclRoundNearest;               // of what is added to a packed store
  std::uint64_t seed = 0;                                   // of stochastic rounding; must differ from rank to rank
  std::size_t bucketBytes = std::size_t{4} << 20;           // in FP32
};

class GradientStore {
 public:
  // `parameters` must outlive the store, and only one store work on them: a packed one keeps the arena empty. All calls are the training
  // thread's, but for packed() and unpack(), which the communication thread makes for buckets that are complete.
  GradientStore(Parameters& parameters, const StoreOptions& options);

  Parameters& parameters() { return parameters_; }
  const BucketLayout& layout() const { return layout_; }
  const std::optional<qcclPackedFormat_t>& format() const { return options_.format; }

  // A micro-batch's backward is about to begin. `microBatch` counts those of the whole run (it numbers the noise of stochastic rounding);
  // the first of a step begins with zeros.
  void begin(std::uint64_t microBatch, bool firstOfStep);
  // This parameter's gradient is final for the micro-batch: for Llama::backward's onReady, each parameter once after begin().
  void ready(const Parameter& parameter);

  // The packed buffer of a bucket of matrices, of bucket.elems() values.
  void* packed(std::size_t bucket);
  // Decodes a bucket into its part of the arena, where it stays until the next step begins: the packed buffer is not looked at any more.
  void unpack(std::size_t bucket);

  // Calls `use` for each parameter in the order of the list, while its gradient is in the arena. A packed store decodes one bucket at a
  // time.
  void visit(const std::function<void(const Parameter&)>& use);

  // Bytes of the packed buffers.
  std::size_t packedBytes() const { return packed_.size() * sizeof(Chunk); }
  // The most memory that gradients have occupied in the first step: packed buffers, and pages of the arena as the system counts them.
  std::size_t peakBytes() const { return peakBytes_; }

 private:
  struct alignas(16) Chunk {
    std::byte bytes[16];
  };

  void add(std::size_t bucket);
  void decode(std::size_t bucket);
  void measure();

  Parameters& parameters_;
  StoreOptions options_;
  BucketLayout layout_;
  std::vector<Chunk> packed_;
  std::vector<std::size_t> offsets_;  // by bucket, in packed_
  std::vector<std::size_t> pending_;  // by bucket: parameters that are not final in this micro-batch
  std::vector<char> unpacked_;        // by bucket: its values are in the arena
  std::uint64_t microBatch_ = 0;
  bool firstOfStep_ = true;
  int steps_ = 0;
  std::size_t peakBytes_ = 0;
};

// The format of a store: nothing for "fp32", or the codec of that name with these scales and blocks. Throws TrainError that lists the
// names.
std::optional<qcclPackedFormat_t> parseGradientStore(const std::string& name, qcclScale_t scale, int blockElems);

}  // namespace qccl::train
