#include "parallel/gradient_store.hpp"

#include <algorithm>

#include "model/error.hpp"
#include "parallel/comm_mode.hpp"
#include "parallel/group.hpp"

namespace qccl::train {

std::optional<qcclPackedFormat_t> parseGradientStore(const std::string& name, qcclScale_t scale, int blockElems) {
  if (name == "fp32") return std::nullopt;
  const int codec = findCodec(name);
  if (codec < 0) failTrain("'", name, "' is no format to keep gradients in; give fp32 or a codec (", codecNames(), ")");
  return qcclPackedFormat_t{codec, scale, blockElems};
}

GradientStore::GradientStore(Parameters& parameters, const StoreOptions& options)
    : parameters_(parameters),
      options_(options),
      layout_(layOutBuckets(parameters.list(), parameters.matrixElems(), parameters.arenaElems(), options.bucketBytes)),
      unpacked_(layout_.buckets.size()) {
  if (!options_.format) return;
  std::size_t total = 0;
  for (const Bucket& bucket : layout_.buckets) {
    offsets_.push_back(total / sizeof(Chunk));
    if (bucket.exact) continue;
    std::size_t bytes = 0;
    checkQccl(qcclPackedBytes(bucket.elems(), &*options_.format, &bytes), "gradients cannot be kept in this format");
    total += (bytes + sizeof(Chunk) - 1) / sizeof(Chunk) * sizeof(Chunk);
  }
  packed_.resize(total / sizeof(Chunk));
  parameters_.discardGradients(0, parameters_.arenaElems());
}

void GradientStore::begin(std::uint64_t microBatch, bool firstOfStep) {
  microBatch_ = microBatch;
  firstOfStep_ = firstOfStep;
  if (firstOfStep) {
    ++steps_;
    if (!options_.format) parameters_.zeroGradients();
  }
  if (!options_.format) return;
  pending_.clear();
  for (std::size_t i = 0; i < layout_.buckets.size(); ++i) {
    const Bucket& bucket = layout_.buckets[i];
    pending_.push_back(bucket.parameters);
    if (!firstOfStep || (!bucket.exact && unpacked_[i] == 0)) continue;
    parameters_.discardGradients(bucket.beginElems, bucket.endElems);
    unpacked_[i] = 0;
  }
}

void GradientStore::ready(const Parameter& parameter) {
  if (!options_.format) return;
  const std::size_t bucket = layout_.bucketOf.at(static_cast<std::size_t>(&parameter - parameters_.list().data()));
  std::size_t& pending = pending_.at(bucket);
  if (pending == 0) failTrain("the gradient of ", parameter.name, " became final twice in one micro-batch");
  if (--pending == 0 && !layout_.buckets[bucket].exact) add(bucket);
}

void GradientStore::add(std::size_t index) {
  measure();
  const Bucket& bucket = layout_.buckets[index];
  const float* gradients = parameters_.gradients().data() + bucket.beginElems;
  const qcclPackedRounding_t rounding{options_.rounding, options_.seed, microBatch_, bucket.beginElems};
  const auto store = firstOfStep_
                         ? qcclQuantize(gradients, packed(index), bucket.elems(), qcclFloat32, &*options_.format, &rounding, nullptr)
                         : qcclAccumulate(packed(index), gradients, bucket.elems(), qcclFloat32, &*options_.format, &rounding, nullptr);
  checkQccl(store, "the gradients could not be added to the store");
  parameters_.discardGradients(bucket.beginElems, bucket.endElems);
}

void* GradientStore::packed(std::size_t bucket) { return packed_.data() + offsets_.at(bucket); }

void GradientStore::decode(std::size_t index) {
  const Bucket& bucket = layout_.buckets[index];
  checkQccl(qcclDequantize(packed(index), parameters_.gradients().data() + bucket.beginElems, bucket.elems(), qcclFloat32,
                           &*options_.format, nullptr),
            "the gradients could not be read from the store");
}

void GradientStore::unpack(std::size_t bucket) {
  decode(bucket);
  unpacked_.at(bucket) = 1;
}

void GradientStore::visit(const std::function<void(const Parameter&)>& use) {
  auto parameter = parameters_.list().begin();
  for (std::size_t i = 0; i < layout_.buckets.size(); ++i) {
    const Bucket& bucket = layout_.buckets[i];
    const bool decoded = options_.format && !bucket.exact && unpacked_[i] == 0;
    if (decoded) decode(i);
    measure();
    for (std::size_t n = 0; n < bucket.parameters; ++n) use(*parameter++);
    if (decoded) parameters_.discardGradients(bucket.beginElems, bucket.endElems);
  }
}

void GradientStore::measure() {
  if (steps_ <= 1) peakBytes_ = std::max(peakBytes_, packedBytes() + parameters_.residentGradientBytes());
}

}  // namespace qccl::train
