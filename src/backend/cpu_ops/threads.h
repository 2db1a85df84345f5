// MindSpore's threads for the operators of this folder, and what becomes of their exceptions.
#pragma once
#include <dlfcn.h>
#include <sched.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>

inline thread_local bool is_inside = false;  // of a parallel loop

using Part = std::function<int(void*, int, float, float)>;

// What oneDNN calls; the order of the functions is the interface, `wait` the one that 3.9 added.
struct Pool {
  virtual int get_num_threads() const { return threads; }
  virtual bool get_in_parallel() const { return is_inside; }
  virtual void parallel_for(int count, const std::function<void(int, int)>& part) {
    if (count == 1 || is_inside || !launch) {
      for (int i = 0; i < count; i++) part(i, count);
      return;
    }
    Part one = [&](void*, int i, float, float) {
      is_inside = true;
      part(i, count);
      is_inside = false;
      return 0;
    };
    if (launch(find(), one, nullptr, count)) throw std::runtime_error("MindSpore's threads did not start");
  }
  virtual uint64_t get_flags() const { return 0; }
  virtual void wait() {}
  virtual ~Pool() {}

  Pool() {
    void* operators = dlopen("libmindspore_ops_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
    void* core = dlopen("libmindspore_core.so", RTLD_LAZY | RTLD_NOLOAD);
    if (operators) find = (void* (*)())dlsym(operators, "_ZN9mindspore6kernel27GetActorMgrInnerThreadPoolEv");
    if (core && find) {
      const char* name = "_ZN9mindspore10ThreadPool14ParallelLaunchERKSt8functionIFiPviffEES2_i";
      launch = (int (*)(void*, const Part&, void*, int))dlsym(core, name);
    }
    cpu_set_t mine;
    sched_getaffinity(0, sizeof mine, &mine);
    const char* wanted = std::getenv("OMP_NUM_THREADS");
    int number = wanted ? std::atoi(wanted) : 0;
    threads = !launch ? 1 : number > 0 ? number : CPU_COUNT(&mine);
  }

  void* (*find)() = nullptr;
  int (*launch)(void*, const Part&, void*, int) = nullptr;
  int threads = 1;
};

inline Pool& pool() {
  static Pool one;
  return one;
}

// The work as an operator: 0, or 1 with the reason on the standard error.
inline int guarded(const char* name, const std::function<void()>& work) {
  try {
    work();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 1;
  }
}
