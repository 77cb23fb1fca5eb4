// A stand-in for the stream header of an HLS tool, so that g++ can compile what the tool would.
#pragma once
#include <queue>

namespace hls {
template <typename T>
class stream {
  public:
    void write(const T& value) { items_.push(value); }
    T read() {
        const T value = items_.front();
        items_.pop();
        return value;
    }

  private:
    std::queue<T> items_;
};
}  // namespace hls
