// Short messages about what was just done. Errors stay until they are dismissed.

export interface Toast {
  id: number;
  tone: "good" | "bad";
  text: string;
}

export const toasts = $state<Toast[]>([]);
let next = 1;

export function say(text: string, tone: Toast["tone"] = "good"): void {
  const id = next;
  next += 1;
  toasts.push({ id, tone, text });
  if (tone === "good") setTimeout(() => dismiss(id), 5000);
}

export function dismiss(id: number): void {
  const index = toasts.findIndex((toast) => toast.id === id);
  if (index !== -1) toasts.splice(index, 1);
}
