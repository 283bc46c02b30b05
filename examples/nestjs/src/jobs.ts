// Made by `jobd schema jobs --ts` from the types of the Python handlers. Do not edit: make it again.

export interface Jobs {
  email: {
    welcome: { userId: number }
  }
}
