/** A record of state that says when it changes. */

/**
 * @template {object} State
 */
export class Store extends EventTarget {
  /** @param {State} state */
  constructor(state) {
    super();
    this.state = state;
  }

  /**
   * Change some of it; listeners of `change` hear of it.
   *
   * @param {Partial<State>} changes
   */
  set(changes) {
    this.state = { ...this.state, ...changes };
    this.dispatchEvent(new Event("change"));
  }

  /** @param {() => void} listener Called now, and after every change. */
  watch(listener) {
    this.addEventListener("change", listener);
    listener();
  }
}
