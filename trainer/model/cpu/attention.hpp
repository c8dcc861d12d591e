// What forward and backward of attention share.
//
// Queries are taken in blocks of kQueryBlock rows, each against the keys that its last row may see: a block of scores is one matrix
// product, and about half of the scores that no query may see are never computed. Scores of one block live in a workspace; nothing of size
// queryLen x keyLen is stored.
#pragma once

#include <algorithm>
#include <cstdint>

#include "model/cpu/ops_impl.hpp"

namespace qccl::train::attention {

inline constexpr std::int64_t kQueryBlock = 64;

// One block of queries: rows [first, first + count) of a sequence. Row first + r may see `visible + r` keys; the block's scores have `keys`
// columns.
struct QueryBlock {
  std::int64_t first, count, visible, keys;
};

inline QueryBlock queryBlock(const AttentionShape& shape, std::int64_t first) {
  const std::int64_t count = std::min(kQueryBlock, shape.queryLen - first);
  const std::int64_t visible = shape.keyLen - shape.queryLen + first + 1;
  return {first, count, visible, visible + count - 1};
}

inline void requireAttention(const AttentionShape& s, ConstMatrix q, ConstMatrix k, ConstMatrix v, ConstMatrix o, const char* operation) {
  const bool heads = s.kvHeads > 0 && s.heads % s.kvHeads == 0 && s.queryLen <= s.keyLen;
  const bool query = q.rows == s.queryRows() && q.cols == s.heads * s.headDim && o.rows == q.rows && o.cols == q.cols;
  const bool key = k.rows == s.keyRows() && k.cols == s.kvHeads * s.headDim && v.rows == k.rows && v.cols == k.cols;
  requireShape(heads && query && key, operation);
}

}  // namespace qccl::train::attention
