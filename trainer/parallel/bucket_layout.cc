#include "parallel/bucket_layout.hpp"

#include <algorithm>

#include "model/error.hpp"

namespace qccl::train {

BucketLayout layOutBuckets(const std::vector<Parameter>& parameters, std::size_t matrixElems, std::size_t arenaElems,
                           std::size_t targetBytes) {
  const std::size_t smallModelBytes = matrixElems * sizeof(float) / 16;
  const std::size_t closeBytes = std::max(kSmallestBucketBytes, std::min(targetBytes, smallModelBytes));
  BucketLayout layout;
  std::size_t begin = 0;
  bool inVectors = false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (parameter.offsetElems < begin || (parameter.is1D ? parameter.offsetElems < matrixElems : inVectors)) {
      failTrain("the parameter ", parameter.name, " does not lie in the gradient arena as the buckets need it");
    }
    const bool open = !layout.buckets.empty() && layout.buckets.back().elems() * sizeof(float) < closeBytes && parameter.is1D == inVectors;
    if (!open && !(parameter.is1D && inVectors)) layout.buckets.push_back({begin, begin, 0, parameter.is1D});
    inVectors = parameter.is1D;
    Bucket& bucket = layout.buckets.back();
    // Up to the next parameter, so that gaps belong to the parameter before them.
    const std::size_t end = i + 1 < parameters.size() ? parameters[i + 1].offsetElems : arenaElems;
    bucket.endElems = end;
    ++bucket.parameters;
    begin = end;
    layout.bucketOf.push_back(layout.buckets.size() - 1);
  }
  return layout;
}

}  // namespace qccl::train
