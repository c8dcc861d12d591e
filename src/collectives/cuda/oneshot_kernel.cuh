// Quantized oneshot all-reduce for codecs of a byte: every rank sends its codes to all, each adds the codes of all ranks in rank order. The
// bits are those of schedule_kernel.cuh with oneshotSchedule(), and of the host.
//
// Each warp goes its own way: it encodes a tile, stores the codes from registers into the peers' slots (oneshot_message.cuh), sums the tile
// before it, and goes on. A message says by itself that it has arrived: no flag, no barrier, no acknowledgement.
//
// When may a warp write into a slot again, kOneshotSlots tiles later? It sends tile i after it has summed tile i - 2, which the peer sent
// after it had summed, and cleared, tile i - 4. That is an order only with a fence between each clearing and each sending, on both sides;
// with one in every kTilesAFence tiles, it holds for tile i - 2 kTilesAFence - 2. Tiles count on from call to call. A call begins when all
// ranks have begun the one before, because a kernel of any kind ends only when it has heard of every rank (call_frame.cuh); so no rank is
// still in the call before that one, and the end of a kernel is a fence as well. Where a slot lies depends on its thread block and warp
// alone, not on how many of them a call has.
//
// The fence is one for the own GPU. What must be in order is a clearing in the own memory and a store of a peer's to the same address, and
// all stores to a GPU's memory, its own and those that arrive over NVLink, meet in its L2: there the clearing has happened when the fence
// ends. (A fence for the system says so in the terms of the memory model, but it also waits until all that the warp has sent has crossed
// the wire, a tenth of the time of a call of 64 MiB.) If it were not so, a clearing would strike a message, its reader would wait for bytes
// that are gone, and the call would end with a timeout: never with a wrong sum.
#pragma once

#include "collectives/cuda/call_frame.cuh"
#include "collectives/cuda/oneshot_message.cuh"
#include "collectives/cuda/wire.cuh"
#include "quant/noise.hpp"

namespace qccl::collectives::cuda {

inline constexpr std::uint32_t kTilesAFence = 3;
static_assert(kOneshotSlots >= 2 * kTilesAFence + 2);

__device__ __forceinline__ void fenceOnGpu() { asm volatile("fence.acq_rel.gpu;" : : : "memory"); }

// Values of a lane in a tile. kUsual: 64 bytes of them, so that of the first tiles of all warps, which must be read before anything is on
// the wire, there are few; more of float32 would not fit into the registers either.
template <typename T, bool kUsual>
inline constexpr std::uint32_t kOneshotLaneElems = kUsual ? 64 / static_cast<std::uint32_t>(T::kBytes) : kOneshotMostLaneElems;

// kUsual: between two ranks, with scales in FP32 of 256 values each.
template <typename Codec, typename T, bool kStochastic, bool kUsual>
class OneshotRun {
 public:
  __device__ __forceinline__ explicit OneshotRun(const OneshotCall& call)
      : call_(call),
        own_(*call.state),
        warp_(threadIdx.x / 32),
        lane_(threadIdx.x % 32),
        number_(own_.calls),
        firstTurn_(own_.blocks[blockIdx.x].turns) {}

  __device__ __forceinline__ void run() {
    if (blockIdx.x == 0 && warp_ == call_.warps - 1) {
      exchangeFingerprints(call_, number_);
    } else {
      reduceTiles();
    }
    __syncthreads();
    if (threadIdx.x == 0) finish();
  }

 private:
  static constexpr std::uint32_t kLaneElems = kOneshotLaneElems<T, kUsual>;
  static constexpr std::uint32_t kTileElems = 32 * kLaneElems;
  static constexpr std::uint32_t kElems = kGroupElems<T>;  // a row: as many values as a lane reads at a time
  static constexpr std::uint32_t kLaneRows = kLaneElems / kElems;
  using Codes = LaneCodes<kLaneElems>;
  using Values = quant::cuda::LoadedValues<T, true>;  // in a block with a NaN all codes are zero

  // What of a block is known when the kernel is compiled.
  __device__ __forceinline__ std::uint32_t blockShift() const { return kUsual ? 8 : call_.blockShift; }
  __device__ __forceinline__ qcclScale_t scaleKind() const { return kUsual ? qcclScaleFloat32 : call_.scale; }
  // Threads that share a block; a power of two.
  __device__ __forceinline__ std::uint32_t teamThreads() const { return (1u << blockShift()) / kLaneElems; }
  __device__ __forceinline__ std::uint32_t team() const { return lane_ / teamThreads(); }
  __device__ __forceinline__ bool leads() const { return lane_ % teamThreads() == 0; }

  __device__ __forceinline__ std::uint64_t firstElem(std::uint32_t tile) const { return std::uint64_t{tile} * kTileElems; }
  // Of the lane's group in a row, in the tile. The groups of a team in a row are neighbours.
  __device__ __forceinline__ std::uint32_t inTile(std::uint32_t row) const {
    return (team() << blockShift()) + (row * teamThreads() + lane_ % teamThreads()) * kElems;
  }
  // From a lane's group in the first row, in bytes, and from row to row.
  __device__ __forceinline__ std::size_t laneBytes() const { return std::size_t{inTile(0)} * T::kBytes; }
  __device__ __forceinline__ std::size_t rowBytes() const { return std::size_t{teamThreads()} * kElems * T::kBytes; }
  __device__ __forceinline__ bool isWhole(std::uint32_t tile) const { return call_.aligned && call_.elems - firstElem(tile) >= kTileElems; }
  // How many values there are of the lane's group in a row.
  __device__ __forceinline__ std::uint32_t count(std::uint32_t tile, std::uint32_t row) const {
    const std::uint64_t left = call_.elems - firstElem(tile);
    return left <= inTile(row) ? 0 : static_cast<std::uint32_t>(min(left - inTile(row), std::uint64_t{kElems}));
  }

  __device__ __forceinline__ std::uint32_t ranks() const { return kUsual ? 2 : call_.ranks; }
  // The first of this warp's slots in the arena of a rank, and the bytes from one turn's messages to the next's.
  __device__ __forceinline__ unsigned char* slotsOf(std::uint32_t rank) const {
    return call_.arenas[rank] + kWarpSlotsOffset + std::size_t{(blockIdx.x * call_.warps + warp_) * kOneshotSlots} * turnBytes();
  }
  __device__ __forceinline__ std::uint32_t turnBytes() const { return (ranks() - 1) * kOneshotSlotBytes; }
  // In the arena of rank `to`, of `turn`.
  __device__ __forceinline__ Slot<kLaneElems> slotAt(unsigned char* slots, std::uint32_t to, std::uint32_t from, std::uint32_t turn) const {
    return {slots + turn % kOneshotSlots * turnBytes() + (kUsual ? 0 : from < to ? from : from - 1) * kOneshotSlotBytes};
  }

  // All warps have tiles but the last one of thread block 0, which tells the ranks what is called. Powers of two of tiles are many; with
  // that one warp less, and not one in each thread block, they fit.
  __device__ __forceinline__ std::uint32_t stride() const { return gridDim.x * call_.warps - 1; }

  // Of a warp, a stride apart. The first ones of all lie in different thread blocks.
  __device__ __forceinline__ void reduceTiles() const {
    const std::uint32_t stride = this->stride();
    std::uint32_t tile = warp_ * gridDim.x + blockIdx.x - (warp_ == call_.warps - 1 ? 1 : 0);
    std::uint32_t turn = firstTurn_;
    Codes own = {};
    bool sent = false;
    for (;; tile += stride, ++turn) {
      const bool more = tile < call_.tiles;
      Codes next = {};
      if (more) {
        next = encode(tile);
        if (turn % kTilesAFence == 0) fenceOnGpu();
        send(turn, next);
      }
      if (sent && !addUp(tile - stride, turn - 1, own)) return;
      if (!more) return;
      own = next;
      sent = true;
    }
  }

  __device__ __forceinline__ void send(std::uint32_t turn, const Codes& codes) const {
    if constexpr (kUsual) {
      slotAt(slotsOf(1 - call_.rank), 1 - call_.rank, call_.rank, turn).store(codes, team(), leads());
    } else {
      for (std::uint32_t peer = 0; peer < call_.ranks; ++peer) {
        if (peer != call_.rank) slotAt(slotsOf(peer), peer, call_.rank, turn).store(codes, team(), leads());
      }
    }
  }

  __device__ __forceinline__ bool receive(std::uint32_t from, std::uint32_t turn, Codes* codes) const {
    const Slot<kLaneElems> slot = slotAt(slotsOf(call_.rank), call_.rank, from, turn);
    const auto isThere = [&] {
      *codes = slot.load(team());
      return codes->isThere();
    };
    if (!warpSpinUntil(call_, from, isThere)) return false;
    __syncwarp();  // all lanes have read the scale that one of them clears
    slot.clear(team(), leads());
    __syncwarp();
    return true;
  }

  __device__ __forceinline__ void load(std::uint32_t tile, Values (&x)[kLaneRows]) const {
    const unsigned char* input = call_.input + firstElem(tile) * T::kBytes + laneBytes();
    if (isWhole(tile)) {
#pragma unroll
      for (std::uint32_t row = 0; row < kLaneRows; ++row) x[row].raw = quant::cuda::loadGroupOnce(input + row * rowBytes());
    } else {
#pragma unroll
      for (std::uint32_t row = 0; row < kLaneRows; ++row) x[row].raw = quant::cuda::loadSome<T>(input + row * rowBytes(), count(tile, row));
    }
  }

  __device__ __forceinline__ Codes encode(std::uint32_t tile) const {
    Values x[kLaneRows];
    load(tile, x);
    std::uint32_t most = quant::cuda::maxMagnitudeOf(x);
#pragma unroll
    for (std::uint32_t distance = 1; distance < 32; distance *= 2) {
      if (distance < teamThreads()) most = max(most, __shfl_xor_sync(0xffffffffu, most, distance));
    }
    Codes result = {};
    result.scale = Codec::storedScale(scaleKind(), most);
    if (most >= quant::kInfBits) {
      if (leads() && any(tile)) quant::cuda::addCount(call_.counts->nonFiniteBlocks, 1);
      return result;
    }
    const typename Codec::Encoder encoder(scaleKind(), result.scale);
    if (!kStochastic && encoder.isPlain()) {
#pragma unroll
      for (std::uint32_t i = 0; i < kLaneElems; i += 4) {
        std::uint32_t codes[4];
#pragma unroll
        for (std::uint32_t k = 0; k < 4; ++k) codes[k] = encoder.plainBits(x[(i + k) / kElems][(i + k) % kElems]);
        result.words[i / 4] = packBytes(codes);
      }
    } else {
      const std::uint64_t key = kStochastic ? quant::noiseKey(call_.seed, std::uint64_t{number_} + 1, call_.rank, 0) : 0;
#pragma unroll
      for (std::uint32_t i = 0; i < kLaneElems; i += 4) {
        std::uint32_t codes[4];
#pragma unroll
        for (std::uint32_t k = 0; k < 4; ++k) {
          const std::uint32_t row = (i + k) / kElems, inRow = (i + k) % kElems;
          codes[k] = encoder.template code<kStochastic>(x[row][inRow], key, firstElem(tile) + inTile(row) + inRow);
        }
        result.words[i / 4] = packBytes(codes);
      }
    }
    if (quant::isSampledBlock((firstElem(tile) >> blockShift()) + team()) && any(tile)) countLosses(tile, x, encoder, result);
    return result;
  }

  static __device__ __forceinline__ std::uint32_t packBytes(const std::uint32_t (&codes)[4]) {
    return __byte_perm(__byte_perm(codes[0], codes[1], 0x0040), __byte_perm(codes[2], codes[3], 0x0040), 0x5410);
  }

  // Whether there is a value for this lane's team.
  __device__ __forceinline__ bool any(std::uint32_t tile) const { return firstElem(tile) + (team() << blockShift()) < call_.elems; }

  // Of one block in kSampledBlocks.
  __device__ __forceinline__ void countLosses(std::uint32_t tile, const Values (&x)[kLaneRows], const typename Codec::Encoder& encoder,
                                              const Codes& codes) const {
    std::uint32_t sampled = 0, saturated = 0, flushed = 0;
#pragma unroll
    for (std::uint32_t i = 0; i < kLaneElems; ++i) {
      const std::uint32_t row = i / kElems;
      if (i % kElems >= count(tile, row)) continue;
      ++sampled;
      saturated += encoder.saturates(x[row][i % kElems], codes.code(i)) ? 1 : 0;
      flushed += quant::isFlushed(x[row][i % kElems], Codec::codeValue(codes.code(i))) ? 1 : 0;
    }
    quant::cuda::addCount(call_.counts->sampledElems, sampled);
    quant::cuda::addCount(call_.counts->saturated, saturated);
    quant::cuda::addCount(call_.counts->flushed, flushed);
  }

  __device__ __forceinline__ bool addUp(std::uint32_t tile, std::uint32_t turn, const Codes& own) const {
    if constexpr (kUsual) {
      Codes theirs;
      if (!receive(1 - call_.rank, turn, &theirs)) return false;
      // Where values are codes times a multiplier, which is nearly always, a row at a time: few registers.
      const typename Codec::Decoder ownDecoder(scaleKind(), own.scale), theirDecoder(scaleKind(), theirs.scale);
      if (isWhole(tile) && ownDecoder.isPlain() && theirDecoder.isPlain()) {
        const bool ownFirst = call_.rank == 0;
        const Codes first = ownFirst ? own : theirs, second = ownFirst ? theirs : own;
        const typename Codec::Decoder firstDecoder = ownFirst ? ownDecoder : theirDecoder,
                                      secondDecoder = ownFirst ? theirDecoder : ownDecoder;
        if (call_.divide) {
          addPlain<true>(tile, firstDecoder, first, secondDecoder, second);
        } else {
          addPlain<false>(tile, firstDecoder, first, secondDecoder, second);
        }
        return true;
      }
      addTwo(*this, tile, call_.rank == 0 ? own : theirs, call_.rank == 0 ? theirs : own);
      return true;
    }
    float sum[kLaneElems];
    bool plain = true;
    for (std::uint32_t rank = 0; rank < call_.ranks; ++rank) {
      Codes codes = own;
      if (rank != call_.rank && !receive(rank, turn, &codes)) return false;
      add(codes, rank == 0, &plain, sum);
    }
    finishSum(tile, plain, sum);
    return true;
  }

  template <bool kDivide>
  __device__ __forceinline__ void addPlain(std::uint32_t tile, const typename Codec::Decoder& firstDecoder, const Codes& first,
                                           const typename Codec::Decoder& secondDecoder, const Codes& second) const {
    unsigned char* output = call_.output + firstElem(tile) * T::kBytes + laneBytes();
#pragma unroll
    for (std::uint32_t row = 0; row < kLaneRows; ++row) {
      float values[kElems];
#pragma unroll
      for (std::uint32_t k = 0; k < kElems; ++k) {
        const std::uint32_t i = row * kElems + k;
        const float value = firstDecoder.decodePlain(Codec::valueOfByte(first.words[i / 4], i % 4));
        values[k] = secondDecoder.addPlain(value, Codec::valueOfByte(second.words[i / 4], i % 4));
        if (kDivide) values[k] *= 0.5f;
      }
      quant::cuda::storeGroupOnce(output + row * rowBytes(), quant::cuda::narrowAnyNan<T>(values));
    }
  }

  // Apart, so that what is seldom needed takes no registers of the rest.
  static __device__ __noinline__ void addTwo(const OneshotRun run, std::uint32_t tile, const Codes first, const Codes second) {
    float sum[kLaneElems];
    bool plain = true;
    run.add(first, true, &plain, sum);
    run.add(second, false, &plain, sum);
    run.finishSum(tile, plain, sum);
  }

  __device__ __forceinline__ void add(const Codes& codes, bool first, bool* plain, float (&sum)[kLaneElems]) const {
    const typename Codec::Decoder decoder(scaleKind(), codes.scale);
    *plain = *plain && decoder.isPlain();
    if (first) {
      take<false>(decoder, codes, *plain, sum);
    } else {
      take<true>(decoder, codes, *plain, sum);
    }
  }

  __device__ __forceinline__ void finishSum(std::uint32_t tile, bool plain, float (&sum)[kLaneElems]) const {
    if (call_.divide) {
#pragma unroll
      for (float& value : sum) value = divideLikeHost(value, call_.ranks);
    }
    store(tile, sum, plain);
  }

  // plain: so far all blocks were, so no sum is NaN.
  template <bool kAdd>
  static __device__ __forceinline__ void take(const typename Codec::Decoder& decoder, const Codes& codes, bool plain,
                                              float (&sum)[kLaneElems]) {
    if (plain) {
#pragma unroll
      for (std::uint32_t i = 0; i < kLaneElems; ++i) {
        const float code = Codec::valueOfByte(codes.words[i / 4], i % 4);
        sum[i] = kAdd ? decoder.addPlain(sum[i], code) : decoder.decodePlain(code);
      }
    } else {
#pragma unroll
      for (std::uint32_t i = 0; i < kLaneElems; ++i) sum[i] = kAdd ? decoder.add(sum[i], codes.code(i)) : decoder.decode(codes.code(i));
    }
  }

  __device__ __forceinline__ void store(std::uint32_t tile, const float (&sum)[kLaneElems], bool neverNan) const {
    unsigned char* output = call_.output + firstElem(tile) * T::kBytes + laneBytes();
    RawGroup raw[kLaneRows];
#pragma unroll
    for (std::uint32_t row = 0; row < kLaneRows; ++row) {
      float values[kElems];
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; ++i) values[i] = sum[row * kElems + i];
      if (neverNan) {
        raw[row] = quant::cuda::narrowAnyNan<T>(values);
      } else {
#pragma unroll
        for (std::uint32_t i = 0; i < kElems; ++i) quant::cuda::setBitsIn<T>(raw[row], i, T::narrow(values[i]));
      }
    }
    if (isWhole(tile)) {
#pragma unroll
      for (std::uint32_t row = 0; row < kLaneRows; ++row) quant::cuda::storeGroupOnce(output + row * rowBytes(), raw[row]);
    } else {
#pragma unroll
      for (std::uint32_t row = 0; row < kLaneRows; ++row) quant::cuda::storeSome<T>(output + row * rowBytes(), raw[row], count(tile, row));
    }
  }

  __device__ __forceinline__ void finish() {
    own_.blocks[blockIdx.x].turns = firstTurn_ + (call_.tiles + stride() - 1) / stride();
    if (!leave(call_, number_)) return;
    const std::uint64_t blockElems = std::uint64_t{1} << blockShift();
    quant::cuda::addCount(call_.counts->blocks, (call_.elems + blockElems - 1) >> blockShift());
  }

  const OneshotCall& call_;
  CallState& own_;
  const std::uint32_t warp_;
  const std::uint32_t lane_;
  const std::uint32_t number_;     // of this call, from 0
  const std::uint32_t firstTurn_;  // tiles of each warp of this thread block in all calls before
};

template <typename Codec, typename T, bool kStochastic, bool kUsual>
__global__ void __launch_bounds__(kOneshotThreads, 1) oneshotKernel(const __grid_constant__ OneshotCall call) {
  OneshotRun<Codec, T, kStochastic, kUsual>(call).run();
}

}  // namespace qccl::collectives::cuda
