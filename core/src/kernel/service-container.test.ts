import "reflect-metadata";

import { createServiceToken } from "@tidemark/plugin-api";
import { container as root } from "tsyringe";
import { describe, expect, it } from "vitest";
import { createContainer, kernelTokens } from "./injection.js";
import { ServiceContainer } from "./service-container.js";

const counter = createServiceToken<{ readonly count: number }>("test.counter");

describe("the service container", () => {
  it("gives what was provided, and another one after that was taken back", () => {
    const services = new ServiceContainer(createContainer());
    const first = services.provide({ token: counter, service: { count: 1 }, by: "a" });
    expect(services.get(counter).count).toBe(1);
    first.dispose();
    expect(services.find(counter)).toBeUndefined();
    services.provide({ token: counter, service: { count: 2 }, by: "b" });
    first.dispose();
    expect(services.get(createServiceToken<{ readonly count: number }>("test.counter")).count).toBe(2);
    expect(services.providedBy("a")).toEqual([]);
    expect(services.providedBy("b")).toEqual(["test.counter"]);
  });

  it("keeps two kernels of one process apart, and leaves the global container empty", () => {
    const one = new ServiceContainer(createContainer());
    const two = new ServiceContainer(createContainer());
    one.provide({ token: counter, service: { count: 1 }, by: "a" });
    expect(two.find(counter)).toBeUndefined();
    two.provide({ token: counter, service: { count: 2 }, by: "a" });
    expect([one.get(counter).count, two.get(counter).count]).toEqual([1, 2]);
    expect(root.isRegistered(counter.key)).toBe(false);
    expect(Object.values(kernelTokens).some((token) => root.isRegistered(token))).toBe(false);
  });

  it("does not reach what somebody else has put into the global container", () => {
    const token = createServiceToken<string>("test.global");
    root.register(token.key, { useValue: "from outside" });
    try {
      expect(new ServiceContainer(createContainer()).find(token)).toBeUndefined();
    } finally {
      root.clearInstances();
      root.reset();
    }
  });
});
