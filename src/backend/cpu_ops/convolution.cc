// Convolutions as MindSpore custom operators ("aot") on the oneDNN library that MindSpore brings along.
//
// MindSpore asks that library for plain layouts of the weights, for which it has slow kernels or none. Here the library
// chooses the layouts; tensors are reordered where theirs is another. Only its C functions are used, declared below
// (oneDNN 3.x keeps them; its constants are part of that promise).
#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "threads.h"

extern "C" {
typedef struct dnnl_engine* Engine;
typedef struct dnnl_stream* Stream;
typedef struct dnnl_memory* Memory;
typedef struct dnnl_memory_desc* Layout;
typedef struct dnnl_primitive* Primitive;
typedef struct dnnl_primitive_desc* Description;
typedef struct dnnl_primitive_attr* Attributes;
struct Argument {
  int name;
  Memory memory;
};
int dnnl_engine_create(Engine*, int kind, size_t index);
int dnnl_threadpool_interop_stream_create(Stream*, Engine, void* pool);
int dnnl_threadpool_interop_set_max_concurrency(int);
int dnnl_threadpool_interop_get_max_concurrency(int*);
int dnnl_stream_wait(Stream);
int dnnl_memory_create(Memory*, Layout, Engine, void*);
int dnnl_memory_destroy(Memory);
int dnnl_memory_desc_create_with_tag(Layout*, int axes, const int64_t* sizes, int type, int tag);
int dnnl_memory_desc_clone(Layout*, Layout);
int dnnl_memory_desc_equal(Layout, Layout);
size_t dnnl_memory_desc_get_size(Layout);
int dnnl_primitive_attr_create(Attributes*);
int dnnl_primitive_attr_set_scratchpad_mode(Attributes, int);
int dnnl_convolution_forward_primitive_desc_create(Description*, Engine, int use, int algorithm, Layout x, Layout weight,
                                                   Layout bias, Layout y, const int64_t* strides,
                                                   const int64_t* dilations, const int64_t* before,
                                                   const int64_t* behind, Attributes);
int dnnl_convolution_backward_data_primitive_desc_create(Description*, Engine, int algorithm, Layout x, Layout weight,
                                                         Layout y, const int64_t* strides, const int64_t* dilations,
                                                         const int64_t* before, const int64_t* behind, Description,
                                                         Attributes);
int dnnl_convolution_backward_weights_primitive_desc_create(Description*, Engine, int algorithm, Layout x,
                                                            Layout weight, Layout bias, Layout y,
                                                            const int64_t* strides, const int64_t* dilations,
                                                            const int64_t* before, const int64_t* behind, Description,
                                                            Attributes);
int dnnl_reorder_primitive_desc_create(Description*, Layout, Engine, Layout, Engine, Attributes);
Layout dnnl_primitive_desc_query_md(Description, int what, int index);
int dnnl_primitive_desc_destroy(Description);
int dnnl_primitive_create(Primitive*, Description);
int dnnl_primitive_execute(Primitive, Stream, int count, const Argument*);
}

namespace {
constexpr int CPU = 1, FLOAT = 3, ANY = 1, PLAIN = 5, TRAINING = 64, DIRECT = 1, USER = 1;
constexpr int SCRATCHPAD = 80, SCRATCHPAD_LAYOUT = 136;
constexpr int X = 1, Y = 17, WEIGHT = 33, SLOPE_X = 129, SLOPE_Y = 145, SLOPE_WEIGHT = 161;  // names of arguments

void check(int status, const char* what) {
  if (status) throw std::runtime_error(std::string(what) + ": oneDNN's status " + std::to_string(status));
}

Engine engine() {
  static Engine one = [] {
    Engine made;
    check(dnnl_engine_create(&made, CPU, 0), "engine");
    return made;
  }();
  return one;
}

Stream stream() {
  static thread_local Stream one = [] {
    Stream made;
    check(dnnl_threadpool_interop_stream_create(&made, engine(), &pool()), "stream");
    return made;
  }();
  return one;
}

// ---- memory: a few buffers per thread that grow and stay

struct Buffer {
  void* data = nullptr;
  size_t size = 0;
  ~Buffer() { std::free(data); }
  void* get(size_t wanted) {
    if (wanted > size) {
      std::free(data);
      size = (wanted + 4095) / 4096 * 4096;
      data = std::aligned_alloc(4096, size);
      if (!data) {
        size = 0;
        throw std::bad_alloc();
      }
    }
    return data;
  }
};
thread_local Buffer buffers[5];

struct View {  // a tensor as oneDNN sees it
  Memory memory = nullptr;
  View(Layout layout, void* data) { check(dnnl_memory_create(&memory, layout, engine(), data), "memory"); }
  View(const View&) = delete;
  ~View() { dnnl_memory_destroy(memory); }
};

// ---- operators

Attributes attributes() {
  static Attributes one = [] {
    Attributes made;
    check(dnnl_primitive_attr_create(&made), "attributes");
    check(dnnl_primitive_attr_set_scratchpad_mode(made, USER), "scratchpad");
    return made;
  }();
  return one;
}

Layout layout_of(std::array<int64_t, 4> sizes, int tag) {
  Layout made;
  check(dnnl_memory_desc_create_with_tag(&made, 4, sizes.data(), FLOAT, tag), "layout");
  return made;
}

// One kernel with its own scratch memory. It lives as long as the program, as everything that it holds.
struct Kernel {
  Primitive primitive = nullptr;
  Layout scratchpad = nullptr;
  explicit Kernel(Description description) {
    check(dnnl_memory_desc_clone(&scratchpad, dnnl_primitive_desc_query_md(description, SCRATCHPAD_LAYOUT, 0)), "clone");
    check(dnnl_primitive_create(&primitive, description), "kernel");
  }
  void run(std::array<Argument, 3> arguments, int count) const {
    View scratch(scratchpad, buffers[4].get(dnnl_memory_desc_get_size(scratchpad) + 64));
    Argument all[4] = {{SCRATCHPAD, scratch.memory}};
    for (int i = 0; i < count; i++) all[i + 1] = arguments[i];
    check(dnnl_primitive_execute(primitive, stream(), count + 1, all), "run");
    check(dnnl_stream_wait(stream()), "wait");
  }
};

// A tensor of an operator: its layout outside and the one that the kernel wants.
struct Port {
  int name;
  Layout outside, inside = nullptr;
  std::unique_ptr<Kernel> reorder;
  void settle(Description description, bool is_result) {
    // oneDNN's names of a description's layouts follow the arguments': src, diff_src, weights, diff_weights, ...
    int what = name == X ? 129 : name == SLOPE_X ? 130 : name == WEIGHT ? 131 : name == SLOPE_WEIGHT ? 132 : 0;
    if (!what) what = name == Y ? 133 : 134;
    check(dnnl_memory_desc_clone(&inside, dnnl_primitive_desc_query_md(description, what, 0)), "clone");
    if (dnnl_memory_desc_equal(outside, inside)) return;
    Description change;
    Layout from = is_result ? inside : outside, to = is_result ? outside : inside;
    check(dnnl_reorder_primitive_desc_create(&change, from, engine(), to, engine(), attributes()), "reorder");
    reorder = std::make_unique<Kernel>(change);
    dnnl_primitive_desc_destroy(change);
  }
};

struct Operator {
  Port first, second, result;
  std::unique_ptr<Kernel> kernel;
  Operator(int a, Layout outside_a, int b, Layout outside_b, int r, Layout outside_r)
      : first{a, outside_a}, second{b, outside_b}, result{r, outside_r} {}
  void settle(Description description) {
    kernel = std::make_unique<Kernel>(description);
    first.settle(description, false);
    second.settle(description, false);
    result.settle(description, true);
    dnnl_primitive_desc_destroy(description);
  }
  void run(void* a, void* b, void* r) const {
    View outside_a(first.outside, a), outside_b(second.outside, b), outside_r(result.outside, r);
    View inside_a(first.inside, enter(first, outside_a, a, 0)), inside_b(second.inside, enter(second, outside_b, b, 1));
    View inside_r(result.inside, result.reorder ? place(result, 2) : r);
    kernel->run({{{first.name, inside_a.memory}, {second.name, inside_b.memory}, {result.name, inside_r.memory}}}, 3);
    if (result.reorder) result.reorder->run({{{X, inside_r.memory}, {Y, outside_r.memory}}}, 2);
  }

 private:
  static void* place(const Port& port, int buffer) { return buffers[buffer].get(dnnl_memory_desc_get_size(port.inside)); }
  static void* enter(const Port& port, const View& outside, void* data, int buffer) {
    if (!port.reorder) return data;
    View inside(port.inside, place(port, buffer));
    port.reorder->run({{{X, outside.memory}, {Y, inside.memory}}}, 2);
    return place(port, buffer);
  }
};

struct Convolution {
  std::unique_ptr<Operator> forward, by_x, by_weight;
};

using Key = std::array<int64_t, 12>;  // N C H W, O k k, stride padding dilation, H' W'

std::unique_ptr<Convolution> make(const Key& k) {
  std::array<int64_t, 4> x{k[0], k[1], k[2], k[3]}, weight{k[4], k[1], k[5], k[6]}, y{k[0], k[4], k[10], k[11]};
  int64_t strides[2] = {k[7], k[7]}, dilations[2] = {k[9] - 1, k[9] - 1}, before[2] = {k[8], k[8]}, behind[2];
  for (int axis = 0; axis < 2; axis++)  // what the last window lacks; less than 0 where it does not reach the edge
    behind[axis] = (y[2 + axis] - 1) * k[7] + k[9] * (weight[2 + axis] - 1) + 1 - x[2 + axis] - k[8];
  Layout out_x = layout_of(x, PLAIN), out_weight = layout_of(weight, PLAIN), out_y = layout_of(y, PLAIN);
  Layout any_x = layout_of(x, ANY), any_weight = layout_of(weight, ANY), any_y = layout_of(y, ANY);
  auto made = std::make_unique<Convolution>();
  Description forward, back;
  check(dnnl_convolution_forward_primitive_desc_create(&forward, engine(), TRAINING, DIRECT, any_x, any_weight, nullptr,
                                                       any_y, strides, dilations, before, behind, attributes()),
        "convolution");
  check(dnnl_convolution_backward_data_primitive_desc_create(&back, engine(), DIRECT, any_x, any_weight, any_y, strides,
                                                             dilations, before, behind, forward, attributes()),
        "derivative by x");
  made->by_x = std::make_unique<Operator>(SLOPE_Y, out_y, WEIGHT, out_weight, SLOPE_X, out_x);
  made->by_x->settle(back);
  check(dnnl_convolution_backward_weights_primitive_desc_create(&back, engine(), DIRECT, any_x, any_weight, nullptr,
                                                                any_y, strides, dilations, before, behind, forward,
                                                                attributes()),
        "derivative by the weights");
  made->by_weight = std::make_unique<Operator>(X, out_x, SLOPE_Y, out_y, SLOPE_WEIGHT, out_weight);
  made->by_weight->settle(back);
  made->forward = std::make_unique<Operator>(X, out_x, WEIGHT, out_weight, Y, out_y);
  made->forward->settle(forward);
  return made;
}

// The convolution of these shapes; `place` is stride, padding, dilation.
const Convolution& find(const int64_t* x, const int64_t* weight, const int64_t* y, const int32_t* place) {
  static std::map<Key, std::unique_ptr<Convolution>> known;
  static std::mutex alone;
  Key key{x[0], x[1], x[2], x[3], weight[0], weight[2], weight[3], place[0], place[1], place[2], y[2], y[3]};
  std::lock_guard<std::mutex> lock(alone);
  auto& found = known[key];
  if (!found) {
    int before = 0;  // kernels are planned for as many threads as will run them
    dnnl_threadpool_interop_get_max_concurrency(&before);
    dnnl_threadpool_interop_set_max_concurrency(pool().threads);
    try {
      found = make(key);
    } catch (const std::exception& error) {
      std::string sizes;  // N C H W, O k k, stride padding dilation, H' W'
      for (int64_t number : key) sizes += " " + std::to_string(number);
      throw std::runtime_error(error.what() + (" of" + sizes));
    }
    dnnl_threadpool_interop_set_max_concurrency(before);
  }
  return *found;
}
}  // namespace

// x (N, C, H, W), weight (O, C, k, k), place -> y
extern "C" int convolve(int, void** data, int*, int64_t** shapes, const char**, void*, void*) {
  return guarded("convolve", [&] {
    find(shapes[0], shapes[1], shapes[3], (int32_t*)data[2]).forward->run(data[0], data[1], data[3]);
  });
}

// x (only its shape is read), weight, derivative by y, place -> derivative by x
extern "C" int convolve_by_x(int, void** data, int*, int64_t** shapes, const char**, void*, void*) {
  return guarded("convolve_by_x", [&] {
    find(shapes[0], shapes[1], shapes[2], (int32_t*)data[3]).by_x->run(data[2], data[1], data[4]);
  });
}

// x, weight (only its shape is read), derivative by y, place -> derivative by weight
extern "C" int convolve_by_weight(int, void** data, int*, int64_t** shapes, const char**, void*, void*) {
  return guarded("convolve_by_weight", [&] {
    find(shapes[0], shapes[1], shapes[2], (int32_t*)data[3]).by_weight->run(data[0], data[2], data[4]);
  });
}
