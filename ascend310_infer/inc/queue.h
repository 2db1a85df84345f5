// A queue between threads. Its length is bounded by the number of batches that go round.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

namespace seg {

template <typename T>
class Queue {
 public:
  void Push(T value) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      items_.push_back(std::move(value));
    }
    ready_.notify_one();
  }

  // Waits for an item; nothing once the queue is closed and empty.
  std::optional<T> Pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    ready_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (items_.empty()) return std::nullopt;
    T value = std::move(items_.front());
    items_.pop_front();
    return value;
  }

  // No more items come. With `drop` those that wait are given up as well.
  void Close(bool drop = false) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
      if (drop) items_.clear();
    }
    ready_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> items_;
  bool closed_ = false;
};

}  // namespace seg
